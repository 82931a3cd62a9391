-- Removes everything about a room from the webhook of a bot that has left it.
-- @webhook
-- @arg rid
-- Returns how many deliveries waited. The queue has a limit (webhooks.MAX_QUEUED).
local start, count = ARGV.rid .. ' ', 0
for _, name in ipairs(redis.call('ZRANGE', KEYS.queue, 0, -1)) do
  if string.sub(name, 1, #start) == start then
    redis.call('ZREM', KEYS.queue, name)
    redis.call('HDEL', KEYS.attempts, name)
    count = count + 1
  end
end
redis.call('HDEL', KEYS.cursors, ARGV.rid)
return count
