-- A person joins an open room.
-- KEYS: room, events, members, read
-- ARGV: channel, user id, data
-- Returns 1 when joined now, 0 when a member already, -1 when there is no such open room.
if redis.call('HGET', KEYS[1], 'kind') ~= 'open' then
  return redis.call('ZSCORE', KEYS[3], ARGV[2]) and 0 or -1
end
if redis.call('ZSCORE', KEYS[3], ARGV[2]) then return 0 end
local seq, at = append(ARGV[3])
redis.call('ZADD', KEYS[3], at, ARGV[2])
redis.call('HSET', KEYS[4], ARGV[2], seq)
return 1
