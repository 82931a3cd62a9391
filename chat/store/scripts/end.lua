-- A room ends.
-- ARGV: channel, data
-- Returns the ids of those who were in it; none when it had ended before.
local kind = redis.call('HGET', KEYS[1], 'kind')
if not kind or kind == 'ended' then return {} end
local members = redis.call('ZRANGE', KEYS[3], 0, -1)
append(ARGV[2], 0)
finish()
return members
