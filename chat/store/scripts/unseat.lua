-- A person has left a random room, or could not get in.
-- KEYS: random rooms by seats taken, seats taken
-- ARGV: room id, user id, how many are in the room where that is known ('' where one has left;
-- 0: the room has ended and leaves the index)
local sat = redis.call('ZREM', KEYS[2], ARGV[2] .. ' ' .. ARGV[1])
if ARGV[3] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
elseif sat == 1 then
  redis.call('ZADD', KEYS[1], 'XX', 'INCR', -1, ARGV[1])
end
return sat
