-- Moves a room that was imported under temporary keys to its place.
-- @room
-- @imported
-- @arg seq  number of the room's newest event before the import ('' for no room)
-- @arg expires_at  when the room goes (ms; '' for never)
-- @rest fields  of the room: name, value...
-- Returns 1; 0, and nothing has changed, when the room has changed since.
if (redis.call('HGET', KEYS.room, 'seq') or '') ~= ARGV.seq then return 0 end
for n = 2, CONST.ROOM_KEYS do
  local imported = KEYS[n + CONST.ROOM_KEYS - 1]
  if redis.call('EXISTS', imported) == 1 then
    redis.call('RENAME', imported, KEYS[n])
    redis.call('PERSIST', KEYS[n])
  elseif KEYS[n] ~= KEYS.nonces then
    redis.call('DEL', KEYS[n])
  end
end
redis.call('DEL', KEYS.room)
redis.call('HSET', KEYS.room, unpack(ARGV, REST.fields))
if ARGV.expires_at ~= '' then
  for _, key in ipairs({KEYS.room, KEYS.events, KEYS.files}) do
    redis.call('PEXPIREAT', key, ARGV.expires_at)
  end
end
-- The field `last` is not the newest event where that is silent, and a silent event is published with
-- more than is stored of it. So subscribers read the stream.
redis.call('SPUBLISH', KEYS.room, CONST.RELOAD)
return 1
