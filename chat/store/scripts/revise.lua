-- The body of a message changes. It is kept beside the stream and not in it, so that deleting
-- the message leaves nothing of it.
-- ARGV: channel, user id, number, data to keep, data to publish, body, '1' for who may change
-- the messages of others, whom it mentions now (mentions.pack; left out for nobody)
-- Returns the number of the event; 0 when the body is that already; -1 when there is no such
-- message for this person, -2 when it is somebody else's.
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return -1 end
local entry = redis.call('XRANGE', KEYS[2], ARGV[3] .. '-0', ARGV[3] .. '-0')[1]
if not entry then return -1 end
local post = cjson.decode(entry[2][4])
if post[1] ~= 'post' then return -1 end
if post[2] ~= ARGV[2] and ARGV[7] ~= '1' then return -2 end
if (redis.call('HGET', KEYS[6], ARGV[3]) or post[4]) == ARGV[6] then return 0 end
redis.call('HSET', KEYS[6], ARGV[3], ARGV[6])
local at = entry[2][2]
unmention(ARGV[3], at)
if ARGV[8] then mention(ARGV[3], at, ARGV[8]) end
return tonumber((append(ARGV[4], ARGV[3], ARGV[5], nil, nil, nil, ARGV[8])))
