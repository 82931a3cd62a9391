-- finish(): ends a room that has no members any more. Its events are kept for a while. Its last
-- members are kept too, until the room is gone from the lists of all of them.
local function finish()
  redis.call('HSET', KEYS.room, 'kind', 'ended')
  if redis.call('EXISTS', KEYS.members) == 1 then
    redis.call('RENAME', KEYS.members, KEYS.past_members)
    redis.call('EXPIRE', KEYS.past_members, CONST.ENDED_ROOM_SECONDS)
  end
  redis.call('DEL', KEYS.members, KEYS.read, KEYS.nonces, KEYS.edits, KEYS.reactions, KEYS.uncounted,
    KEYS.mentions, KEYS.mentioned)
  for _, key in ipairs({KEYS.room, KEYS.events, KEYS.files}) do
    redis.call('EXPIRE', key, CONST.ENDED_ROOM_SECONDS)
  end
end
