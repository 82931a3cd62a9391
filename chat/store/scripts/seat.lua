-- A seat in a random room: the one that this nonce was given before, else one that the person was
-- given and has not taken, else one in the fullest room with a free seat, else the first of a new room.
-- KEYS: random rooms by seats taken, seats taken ('<user id> <room id>'), rooms counted, and, where
-- there is a nonce, the room that it was given
-- ARGV: user id, seats in a room, id for a new room, seconds for which a nonce is known, ids of the
-- rooms the person is in...
-- Returns the room's id and a number for its name.
local mine = {}
for n = 5, #ARGV do mine[ARGV[n]] = true end
local function seat(rid) return ARGV[1] .. ' ' .. rid end
local function give(rid, count)
  if KEYS[4] then redis.call('SET', KEYS[4], rid, 'EX', ARGV[4]) end
  return {rid, tonumber(count) or 1}
end
local given = KEYS[4] and redis.call('GET', KEYS[4])
if given and redis.call('ZSCORE', KEYS[2], seat(given)) then
  return {given, tonumber(redis.call('GET', KEYS[3])) or 1}
end
for _, taken in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. seat(''), '[' .. ARGV[1] .. '!')) do
  local rid = string.sub(taken, #ARGV[1] + 2)
  if not mine[rid] then return give(rid, redis.call('INCR', KEYS[3])) end
end
local free = redis.call('ZREVRANGEBYSCORE', KEYS[1], tonumber(ARGV[2]) - 1, 1, 'LIMIT', 0, #ARGV - 3)
for _, rid in ipairs(free) do
  if not mine[rid] then
    redis.call('ZINCRBY', KEYS[1], 1, rid)
    redis.call('ZADD', KEYS[2], 0, seat(rid))
    return give(rid, redis.call('GET', KEYS[3]))
  end
end
redis.call('ZADD', KEYS[1], 1, ARGV[3])
redis.call('ZADD', KEYS[2], 0, seat(ARGV[3]))
return give(ARGV[3], redis.call('INCR', KEYS[3]))
