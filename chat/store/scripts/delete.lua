-- A message is deleted: it leaves the stream, where the gap in the numbers stands for it.
-- ARGV: channel, user id, number, data, '1' for who may delete the messages of others, 'all' for
-- who need not be in the room either
-- Returns the number of the event; -1 when there is no such message for this person, -2 when it
-- is somebody else's.
local outside = ARGV[5] == 'all' and redis.call('HGET', KEYS[1], 'kind') ~= 'ended'
if not outside and not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return -1 end
local entry = redis.call('XRANGE', KEYS[2], ARGV[3] .. '-0', ARGV[3] .. '-0')[1]
if not entry then return -1 end
local post = cjson.decode(entry[2][4])
if post[1] ~= 'post' then return -1 end
if post[2] ~= ARGV[2] and ARGV[5] == '' then return -2 end
local seq = append(ARGV[4], ARGV[3])
unmention(ARGV[3], entry[2][2])
redis.call('XDEL', KEYS[2], ARGV[3] .. '-0')
redis.call('HDEL', KEYS[6], ARGV[3])
redis.call('HDEL', KEYS[7], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[9], ARGV[3], ARGV[3])
redis.call('ZADD', KEYS[8], ARGV[3], ARGV[3])
return tonumber(seq)
