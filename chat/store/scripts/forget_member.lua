-- A member who will not come back is out of an open or closed room, without a word about it: nobody
-- left just now. With the last one the room ends.
-- KEYS: as append.lua, then who was in it when it ended; ARGV: channel, user id, data of the end
-- Returns the number of members left; -1 for who is no member, or where the room is of another kind.
local kind = redis.call('HGET', KEYS[1], 'kind')
if kind ~= 'open' and kind ~= 'closed' then return -1 end
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return -1 end
local size = redis.call('ZCARD', KEYS[3]) - 1
if size == 0 then append(ARGV[3], 0) end
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
if size == 0 then finish() end
return size
