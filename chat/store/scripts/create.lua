-- A room begins, with its first event and its first members. Repeating it changes nothing.
-- ARGV: channel, data, name, about, kind, owner, epoch, who begins it, members' ids...
-- Returns 1, or 0 when the room was there already. The others have the beginning to read.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'rid', string.match(KEYS[1], '{(.*)}'), 'name', ARGV[3], 'about', ARGV[4], 'kind', ARGV[5],
  'owner', ARGV[6], 'epoch', ARGV[7])
local seq, at = append(ARGV[2], #ARGV - 8)
redis.call('HSET', KEYS[1], 'created', at)
for n = 9, #ARGV do redis.call('ZADD', KEYS[3], at, ARGV[n]) end
redis.call('HSET', KEYS[4], ARGV[8], seq)
return 1
