-- A process is alive, by the database's clock. KEYS: processes by the time (s) until which they
-- count as alive; ARGV: seconds that a process counts as alive, seconds without any word after
-- which all of them count as alive for that long again, the process.
-- Returns the ids of all that are alive.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local alive_until = string.format('%.6f', now + tonumber(ARGV[1]))
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
local said = newest and tonumber(newest) - tonumber(ARGV[1]) -- when the last word came
if said and (now < said or now > said + tonumber(ARGV[2])) then
  -- None could say that it is alive (the database was away), or the clock was set.
  for _, process in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], alive_until, process)
  end
end
redis.call('ZADD', KEYS[1], alive_until, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now))
return redis.call('ZRANGE', KEYS[1], 0, -1)
