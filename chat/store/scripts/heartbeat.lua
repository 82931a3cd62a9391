-- Records that a process is alive, by the database's clock.
-- @key processes  processes by the time (s) until which they count as alive
-- @arg alive_seconds  how long a process counts as alive
-- @arg silence_seconds  without a heartbeat of any process, after which all of them count as alive again
-- @arg process  its id
-- Returns the ids of all processes that are alive.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local alive_until = string.format('%.6f', now + tonumber(ARGV.alive_seconds))
local newest = redis.call('ZRANGE', KEYS.processes, -1, -1, 'WITHSCORES')[2]
local last_beat = newest and tonumber(newest) - tonumber(ARGV.alive_seconds)
if last_beat and (now < last_beat or now > last_beat + tonumber(ARGV.silence_seconds)) then
  -- No process could send a heartbeat (the database was away), or the clock was set.
  for _, process in ipairs(redis.call('ZRANGE', KEYS.processes, 0, -1)) do
    redis.call('ZADD', KEYS.processes, alive_until, process)
  end
end
redis.call('ZADD', KEYS.processes, alive_until, ARGV.process)
redis.call('ZREMRANGEBYSCORE', KEYS.processes, '-inf', string.format('%.6f', now))
return redis.call('ZRANGE', KEYS.processes, 0, -1)
