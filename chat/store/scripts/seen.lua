-- A person has seen a room up to a number; it never goes back, nor beyond the newest.
-- KEYS: read, room; ARGV: user id, number. Returns the number kept.
local kept = tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0
local newest = tonumber(redis.call('HGET', KEYS[2], 'seq')) or 0
local seen = math.min(tonumber(ARGV[2]), newest)
if seen <= kept then return kept end
redis.call('HSET', KEYS[1], ARGV[1], seen)
return seen
