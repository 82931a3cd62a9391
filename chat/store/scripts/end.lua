-- A room ends.
-- KEYS: as append.lua, then who was in it when it ended; ARGV: channel, data
-- Returns 1; 0 when it had ended before, or there is none.
local kind = redis.call('HGET', KEYS[1], 'kind')
if not kind or kind == 'ended' then return 0 end
append(ARGV[2], 0)
finish()
return 1
