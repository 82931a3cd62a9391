-- A bot has left a room: its webhook is told of nothing there any more.
-- KEYS: the hook's cursors, its queue, its tries; ARGV: room id
-- Returns how many messages waited to be delivered. The queue has an end (hooks.MOST_WAITING).
local start, count = ARGV[1] .. ' ', 0
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if string.sub(name, 1, #start) == start then
    redis.call('ZREM', KEYS[2], name)
    redis.call('HDEL', KEYS[3], name)
    count = count + 1
  end
end
redis.call('HDEL', KEYS[1], ARGV[1])
return count
