-- Gives a person a seat in a random room when the person is in it, and takes the seat away when not; the
-- room counts its seats. Repeating it changes nothing.
-- @key rooms  random rooms by seats taken
-- @key seats  '<user id> <room id>' for each seat taken
-- @arg rid
-- @arg uid
-- @arg is_member  '1' when the person is in the room
-- Returns 1 when that has changed something.
local seat = ARGV.uid .. ' ' .. ARGV.rid
if ARGV.is_member == '1' then
  if redis.call('ZADD', KEYS.seats, 'NX', 0, seat) == 0 then return 0 end
  redis.call('ZINCRBY', KEYS.rooms, 1, ARGV.rid)
  return 1
end
if redis.call('ZREM', KEYS.seats, seat) == 0 then return 0 end
local left = redis.call('ZADD', KEYS.rooms, 'XX', 'INCR', -1, ARGV.rid)
if left and tonumber(left) <= 0 then redis.call('ZREM', KEYS.rooms, ARGV.rid) end
return 1
