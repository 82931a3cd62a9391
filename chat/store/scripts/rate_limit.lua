-- Takes from a bucket that fills up again in a number of seconds.
-- A caller that wants several gets at most a quarter of what is left: another process may need the
-- rest before the first one has used what it took ahead.
-- @key full_at  time (µs) at which the bucket will be full again
-- @arg capacity  most that the bucket holds
-- @arg seconds  until an empty bucket is full
-- @arg wanted  how many to take
-- Returns how many were taken, and, when the bucket is empty, the ms until there is one again.
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000000 + tonumber(now[2])
local each = math.floor(tonumber(ARGV.seconds) * 1000000 / tonumber(ARGV.capacity))
local all = each * tonumber(ARGV.capacity)
local full = math.max(now, tonumber(redis.call('GET', KEYS.full_at) or now))
full = math.min(full, now + all) -- the clock may have been set back
local left = math.floor((now + all - full) / each)
local taken = math.min(math.ceil(left / 4), tonumber(ARGV.wanted))
if taken < 1 then return {0, math.ceil((full + each - now - all) / 1000)} end
full = full + taken * each
redis.call('SET', KEYS.full_at, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return {taken, 0}
