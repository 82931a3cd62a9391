-- Takes back a seat in a random room that turned out to be full; the room counts as full from now on.
-- @key rooms  random rooms by seats taken
-- @key seats  '<user id> <room id>' for each seat taken
-- @arg rid
-- @arg uid
-- @arg limit  seats in a room
redis.call('ZREM', KEYS.seats, ARGV.uid .. ' ' .. ARGV.rid)
redis.call('ZADD', KEYS.rooms, 'XX', ARGV.limit, ARGV.rid)
