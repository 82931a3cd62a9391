-- A member has seen a room up to a number; it never goes back. A number beyond the newest is from
-- another life of the database: what it names was never shown, so it changes nothing. Of who is no
-- member nothing is kept, nor of a room that has ended.
-- KEYS: read, room, members; ARGV: user id, number. Returns the number kept, -1 for who is no member.
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return -1 end
local kept = tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0
local newest = tonumber(redis.call('HGET', KEYS[2], 'seq')) or 0
local seen = tonumber(ARGV[2])
if seen <= kept or seen > newest then return kept end
redis.call('HSET', KEYS[1], ARGV[1], seen)
return seen
