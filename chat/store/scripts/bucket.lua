-- A bucket that fills anew in so many seconds: take some of what is in it.
-- Who wants several gets no more than a quarter of them: what one process takes ahead, another one may
-- need before the first has used it.
-- KEYS: when it will be full again (µs); ARGV: most it holds, seconds, how many are wanted
-- Returns how many were taken, and, when it is empty, the ms until there is one again.
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000000 + tonumber(now[2])
local each = math.floor(tonumber(ARGV[2]) * 1000000 / tonumber(ARGV[1]))
local all = each * tonumber(ARGV[1])
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
full = math.min(full, now + all) -- the clock may have been set back
local there = math.floor((now + all - full) / each)
local taken = math.min(math.ceil(there / 4), tonumber(ARGV[3]))
if taken < 1 then return {0, math.ceil((full + each - now - all) / 1000)} end
full = full + taken * each
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return {taken, 0}
