-- Forget who is here no longer. KEYS: people by the time until which they count as here; ARGV:
-- the time now (s). Returns the ids of those forgotten.
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1000)
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return gone
