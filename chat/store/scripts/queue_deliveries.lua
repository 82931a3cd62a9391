-- Queues messages for a bot, and moves the cursor of the room on.
-- @webhook
-- @arg rid
-- @arg before  the cursor as it was ('' for none)
-- @arg cursor  the cursor from now on
-- @arg at  time (ms)
-- @arg limit  most deliveries that may wait
-- @rest seqs  numbers of the messages
-- Returns how many were queued; -1 when another process has moved the cursor, or the webhook is gone.
if redis.call('EXISTS', KEYS.webhook) == 0 then return -1 end
if (redis.call('HGET', KEYS.cursors, ARGV.rid) or '') ~= ARGV.before then return -1 end
redis.call('HSET', KEYS.cursors, ARGV.rid, ARGV.cursor)
local free, added = tonumber(ARGV.limit) - redis.call('ZCARD', KEYS.queue), 0
for n = REST.seqs, math.min(#ARGV, REST.seqs - 1 + free) do
  added = added + redis.call('ZADD', KEYS.queue, 'NX', ARGV.at, ARGV.rid .. ' ' .. ARGV[n])
end
return added
