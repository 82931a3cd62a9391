-- A person has seen a room up to a number; it never goes back.
-- KEYS: read; ARGV: user id, number. Returns the number kept.
local kept = tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0
if tonumber(ARGV[2]) <= kept then return kept end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return tonumber(ARGV[2])
