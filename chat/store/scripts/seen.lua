-- Members have seen a room up to an event; that never goes back. An event of another life of the
-- database was never shown and changes nothing: a number beyond the newest, or one that another
-- event has now, with another time. Nothing is kept of people who are not members, nor of a room
-- that has ended.
-- KEYS: read, room, members, events; ARGV: number, time of the event in ms (0: not known), user ids.
-- Returns 1 for each member and 0 for everybody else, in the order of the ids.
local seen = tonumber(ARGV[1])
local is_shown = seen <= (tonumber(redis.call('HGET', KEYS[2], 'seq')) or 0)
if is_shown and ARGV[2] ~= '0' then
  local id = string.format('%d-0', seen)
  local event = redis.call('XRANGE', KEYS[4], id, id)[1] -- none: it was deleted, or is too old
  is_shown = not event or event[2][2] == ARGV[2]
end
local members = {}
for n = 3, #ARGV do
  local is_member = redis.call('ZSCORE', KEYS[3], ARGV[n])
  members[n - 2] = is_member and 1 or 0
  if is_member and is_shown and seen > (tonumber(redis.call('HGET', KEYS[1], ARGV[n])) or 0) then
    redis.call('HSET', KEYS[1], ARGV[n], seen)
  end
end
return members
