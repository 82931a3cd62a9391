-- A member has seen a room up to a number; it never goes back, nor beyond the newest. Of who is no
-- member nothing is kept, nor of a room that has ended.
-- KEYS: read, room, members; ARGV: user id, number. Returns the number kept, -1 for who is no member.
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return -1 end
local kept = tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0
local newest = tonumber(redis.call('HGET', KEYS[2], 'seq')) or 0
local seen = math.min(tonumber(ARGV[2]), newest)
if seen <= kept then return kept end
redis.call('HSET', KEYS[1], ARGV[1], seen)
return seen
