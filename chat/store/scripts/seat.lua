-- Gives a person a seat in a random room: the one that this nonce was given before, else one that the
-- person was given and has not taken, else one in the fullest room with a free seat, else the first
-- seat of a new room.
-- @key rooms  random rooms by seats taken
-- @key seats  '<user id> <room id>' for each seat taken
-- @key count  random rooms that ever existed
-- @key given  the room that this nonce was given (left out where there is no nonce)
-- @arg uid
-- @arg limit  seats in a room
-- @arg new_rid  id for a new room
-- @arg nonce_seconds  for which a nonce is known
-- @rest rids  ids of the rooms the person is in
-- Returns the room's id and a number for its name.
local mine = {}
for n = REST.rids, #ARGV do mine[ARGV[n]] = true end
local function seat(rid) return ARGV.uid .. ' ' .. rid end
local function give(rid, count)
  if KEYS.given then redis.call('SET', KEYS.given, rid, 'EX', ARGV.nonce_seconds) end
  return {rid, tonumber(count) or 1}
end
local given = KEYS.given and redis.call('GET', KEYS.given)
if given and redis.call('ZSCORE', KEYS.seats, seat(given)) then
  return {given, tonumber(redis.call('GET', KEYS.count)) or 1}
end
for _, taken in ipairs(redis.call('ZRANGEBYLEX', KEYS.seats, '[' .. seat(''), '[' .. ARGV.uid .. '!')) do
  local rid = string.sub(taken, #ARGV.uid + 2)
  if not mine[rid] then return give(rid, redis.call('INCR', KEYS.count)) end
end
local free = redis.call('ZREVRANGEBYSCORE', KEYS.rooms, tonumber(ARGV.limit) - 1, 1,
  'LIMIT', 0, #ARGV - REST.rids + 2)
for _, rid in ipairs(free) do
  if not mine[rid] then
    redis.call('ZINCRBY', KEYS.rooms, 1, rid)
    redis.call('ZADD', KEYS.seats, 0, seat(rid))
    return give(rid, redis.call('GET', KEYS.count))
  end
end
redis.call('ZADD', KEYS.rooms, 1, ARGV.new_rid)
redis.call('ZADD', KEYS.seats, 0, seat(ARGV.new_rid))
return give(ARGV.new_rid, redis.call('INCR', KEYS.count))
