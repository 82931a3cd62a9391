-- A seat in a random room: one that the person was given and has not taken, else one in the
-- fullest room with a free seat, else the first of a new room.
-- KEYS: random rooms by seats taken, seats taken ('<user id> <room id>'), rooms counted
-- ARGV: user id, seats in a room, id for a new room, ids of the rooms the person is in...
-- Returns the room's id and a number for its name.
local mine = {}
for n = 4, #ARGV do mine[ARGV[n]] = true end
for _, seat in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. ARGV[1] .. ' ', '[' .. ARGV[1] .. '!')) do
  local rid = string.sub(seat, #ARGV[1] + 2)
  if not mine[rid] then return {rid, redis.call('INCR', KEYS[3])} end
end
local free = redis.call('ZREVRANGEBYSCORE', KEYS[1], tonumber(ARGV[2]) - 1, 1, 'LIMIT', 0, #ARGV - 2)
for _, rid in ipairs(free) do
  if not mine[rid] then
    redis.call('ZINCRBY', KEYS[1], 1, rid)
    redis.call('ZADD', KEYS[2], 0, ARGV[1] .. ' ' .. rid)
    return {rid, tonumber(redis.call('GET', KEYS[3])) or 1}
  end
end
redis.call('ZADD', KEYS[1], 1, ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1] .. ' ' .. ARGV[3])
return {ARGV[3], redis.call('INCR', KEYS[3])}
