-- Say that people are here, and find who came and who went, by the database's clock.
-- KEYS: people by the time until which they count as here; people who came or went and of whom
-- nobody was told yet, by the time at which a process began to tell; the time of the last look.
-- All times are in seconds.
-- ARGV: seconds that a person counts as here; seconds without any look after which everybody counts
-- as here for that long again; seconds that a process has for telling; ids of people...
-- Returns the time now, and the ids of the people of whom the caller is to tell.
local MOST = 1000 -- people who go, and people who are told of again, in one look
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local here_until = string.format('%.6f', now + tonumber(ARGV[1]))
local stamp = string.format('%.6f', now)

local looked = tonumber(redis.call('GET', KEYS[3]) or '0')
if now < looked or now > looked + tonumber(ARGV[2]) then
  -- Nobody could say that they are here (the database was away), or the clock was set.
  for _, uid in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], here_until, uid)
  end
end
redis.call('SET', KEYS[3], stamp)

local changed = {}
local function add(uids)
  for _, uid in ipairs(uids) do changed[#changed + 1] = uid end
end

for n = 4, #ARGV do
  if redis.call('ZADD', KEYS[1], here_until, ARGV[n]) == 1 then add({ARGV[n]}) end
end
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', stamp, 'LIMIT', 0, MOST)
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
add(gone)
-- What a process began to tell and has not told; a time to come is one from before the clock was set.
local late = string.format('%.6f', now - tonumber(ARGV[3]))
add(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', late, 'LIMIT', 0, MOST))
add(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. stamp, '+inf', 'LIMIT', 0, MOST))
for _, uid in ipairs(changed) do redis.call('ZADD', KEYS[2], stamp, uid) end
return {stamp, changed}
