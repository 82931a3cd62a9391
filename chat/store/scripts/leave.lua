-- A member leaves or is removed; with the last one the room ends.
-- KEYS: as append.lua, then who was in it when it ended; ARGV: channel, user id, data
-- Returns the number of members left; -1 for who is no member, -2 for an owner while others
-- are there, -3 in a direct room.
local kind = redis.call('HGET', KEYS[1], 'kind')
if not kind or not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return -1 end
if kind == 'direct' then return -3 end
local size = redis.call('ZCARD', KEYS[3]) - 1
if size > 0 and redis.call('HGET', KEYS[1], 'owner') == ARGV[2] then return -2 end
append(ARGV[3], size)
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
if size == 0 then finish() end
return size
