-- Schedules another attempt of a delivery that is still queued. Does nothing for one that was
-- delivered or removed.
-- @webhook
-- @arg delivery  room and number of the message
-- @arg at  time of the attempt (ms)
-- @arg count  attempts until now
-- Returns 1; 0 where the delivery does not wait, and then nothing has changed.
if not redis.call('ZSCORE', KEYS.queue, ARGV.delivery) then return 0 end
redis.call('ZADD', KEYS.queue, 'XX', ARGV.at, ARGV.delivery)
redis.call('HSET', KEYS.attempts, ARGV.delivery, ARGV.count)
return 1
