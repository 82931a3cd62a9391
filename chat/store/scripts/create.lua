-- A room begins, with its first event and its first member. Repeating it changes nothing.
-- KEYS: room, events, members, read
-- ARGV: channel, user id, data, name, kind, epoch
-- Returns 1, or 0 when the room was there already.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[4], 'kind', ARGV[5], 'owner', ARGV[2], 'epoch', ARGV[6])
local seq, at = append(ARGV[3])
redis.call('HSET', KEYS[1], 'created', at)
redis.call('ZADD', KEYS[3], at, ARGV[2])
redis.call('HSET', KEYS[4], ARGV[2], seq)
return 1
