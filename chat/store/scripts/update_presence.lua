-- Records that people are present, and finds who came and who went, by the database's clock.
-- @key present  people by the time (s) until which they count as present
-- @key unannounced  people who came or went and were not announced yet, by the time (s) at which a
--   process began to announce them
-- @key checked  time (s) of the last check
-- @arg present_seconds  how long a person counts as present
-- @arg silence_seconds  without a check, after which everybody counts as present for that long again
-- @arg announce_seconds  that a process has to announce people
-- @rest uids  of the people
-- Returns the time now, and the ids of the people whom the caller is to announce.
local MAX_PEOPLE = 1000 -- who go, and who are announced again, in one check
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local present_until = string.format('%.6f', now + tonumber(ARGV.present_seconds))
local stamp = string.format('%.6f', now)

local checked = tonumber(redis.call('GET', KEYS.checked) or '0')
if now < checked or now > checked + tonumber(ARGV.silence_seconds) then
  -- No process could report anybody (the database was away), or the clock was set.
  for _, uid in ipairs(redis.call('ZRANGE', KEYS.present, 0, -1)) do
    redis.call('ZADD', KEYS.present, present_until, uid)
  end
end
redis.call('SET', KEYS.checked, stamp)

local changed = {}
local function add(uids)
  for _, uid in ipairs(uids) do changed[#changed + 1] = uid end
end

for n = REST.uids, #ARGV do
  if redis.call('ZADD', KEYS.present, present_until, ARGV[n]) == 1 then add({ARGV[n]}) end
end
local gone = redis.call('ZRANGEBYSCORE', KEYS.present, '-inf', stamp, 'LIMIT', 0, MAX_PEOPLE)
if #gone > 0 then redis.call('ZREM', KEYS.present, unpack(gone)) end
add(gone)
-- Those whom a process began to announce and did not. A time in the future is from before the clock
-- was set.
local late = string.format('%.6f', now - tonumber(ARGV.announce_seconds))
add(redis.call('ZRANGEBYSCORE', KEYS.unannounced, '-inf', late, 'LIMIT', 0, MAX_PEOPLE))
add(redis.call('ZRANGEBYSCORE', KEYS.unannounced, '(' .. stamp, '+inf', 'LIMIT', 0, MAX_PEOPLE))
for _, uid in ipairs(changed) do redis.call('ZADD', KEYS.unannounced, stamp, uid) end
return {stamp, changed}
