-- A person has a seat in a random room exactly when the person is in it, and the room counts its
-- seats. Repeating it changes nothing.
-- KEYS: random rooms by seats taken, seats taken ('<user id> <room id>')
-- ARGV: room id, user id, '1' for who is in the room
-- Returns 1 when that has changed something.
local seat = ARGV[2] .. ' ' .. ARGV[1]
if ARGV[3] == '1' then
  if redis.call('ZADD', KEYS[2], 'NX', 0, seat) == 0 then return 0 end
  redis.call('ZINCRBY', KEYS[1], 1, ARGV[1])
  return 1
end
if redis.call('ZREM', KEYS[2], seat) == 0 then return 0 end
local left = redis.call('ZADD', KEYS[1], 'XX', 'INCR', -1, ARGV[1])
if left and tonumber(left) <= 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
