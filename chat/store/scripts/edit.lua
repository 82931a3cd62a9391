-- A field of an open or closed room changes.
-- ARGV: channel, data, field (name, about, kind, owner), value
-- Returns 1; 0 when it had that value already; -1 when there is no such room; -2 when the new
-- owner is no member.
local kind = redis.call('HGET', KEYS[1], 'kind')
if kind ~= 'open' and kind ~= 'closed' then return -1 end
if ARGV[3] == 'owner' and not redis.call('ZSCORE', KEYS[3], ARGV[4]) then return -2 end
if redis.call('HGET', KEYS[1], ARGV[3]) == ARGV[4] then return 0 end
append(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 1
