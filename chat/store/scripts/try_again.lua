-- A delivery is to be tried once more, if it still waits: what was delivered or removed leaves nothing.
-- KEYS: the hook's queue, its tries; ARGV: room and number of the message, when (ms), tries until now
-- Returns 1; 0 where it does not wait, and then nothing has changed.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
