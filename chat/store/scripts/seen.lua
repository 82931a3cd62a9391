-- A member has seen a room up to an event; that never goes back. What names an event of another life
-- of the database was never shown, and changes nothing: a number beyond the newest, or one that
-- another event has now, with another time. Of who is no member nothing is kept, nor of a room that
-- has ended.
-- KEYS: read, room, members, events; ARGV: user id, number, time of the event in ms (0: not known).
-- Returns the number kept, -1 for who is no member.
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return -1 end
local kept = tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0
local newest = tonumber(redis.call('HGET', KEYS[2], 'seq')) or 0
local seen = tonumber(ARGV[2])
if seen <= kept or seen > newest then return kept end
if ARGV[3] ~= '0' then
  local id = string.format('%d-0', seen)
  local event = redis.call('XRANGE', KEYS[4], id, id)[1] -- none: it was deleted, or is too old
  if event and event[2][2] ~= ARGV[3] then return kept end
end
redis.call('HSET', KEYS[1], ARGV[1], seen)
return seen
