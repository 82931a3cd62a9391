-- A person was given a seat in a random room that is full after all: the seat goes, and the room
-- counts as full from now on.
-- KEYS: random rooms by seats taken, seats taken ('<user id> <room id>')
-- ARGV: room id, user id, seats in a room
redis.call('ZREM', KEYS[2], ARGV[2] .. ' ' .. ARGV[1])
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
