-- A person becomes a member.
-- ARGV: channel, user id, data, the kind the room must have ('' for open or closed, where
-- somebody else adds the person, who then has something to read), most members (0: no limit)
-- Returns 1 when joined now, 0 when a member already, -1 when there is no such room, -2 when
-- it is full.
local kind = redis.call('HGET', KEYS[1], 'kind')
if not kind or kind == 'ended' then return -1 end
if redis.call('ZSCORE', KEYS[3], ARGV[2]) then return 0 end
local added = ARGV[4] == '' and (kind == 'open' or kind == 'closed')
if not added and kind ~= ARGV[4] then return -1 end
local size, limit = redis.call('ZCARD', KEYS[3]) + 1, tonumber(ARGV[5])
if limit > 0 and size > limit then return -2 end
local seq, at = append(ARGV[3], size)
redis.call('ZADD', KEYS[3], at, ARGV[2])
redis.call('HSET', KEYS[4], ARGV[2], added and tonumber(seq) - 1 or seq)
return 1
