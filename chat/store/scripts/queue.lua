-- What a bot is to be told is put into its queue, and the cursor of the room moves on.
-- KEYS: the hook, its cursors, its queue
-- ARGV: room, cursor as it was ('' for none), cursor, time (ms), most that may wait, numbers...
-- Returns how many were put into the queue; -1 when another process has moved the cursor, or
-- the hook is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return -1 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local free, added = tonumber(ARGV[5]) - redis.call('ZCARD', KEYS[3]), 0
for n = 6, math.min(#ARGV, 5 + free) do
  added = added + redis.call('ZADD', KEYS[3], 'NX', ARGV[4], ARGV[1] .. ' ' .. ARGV[n])
end
return added
