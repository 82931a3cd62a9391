-- The oldest events of a room go, a step of them at most, and with them what stands beside them.
-- The newest event always stays.
-- KEYS: as append.lua; ARGV: how many numbers are kept (0: all), age (ms) from which events go (0: never),
-- most entries that go, age (ms) from which it is no longer noted that a message was posted. Ages are
-- by the clock of the database, which has dated the events.
-- Returns how many entries have gone.
local newest = tonumber(redis.call('HGET', KEYS[1], 'seq'))
if not newest then return 0 end
local now = tonumber(redis.call('TIME')[1]) * 1000
local kept, age = tonumber(ARGV[1]), tonumber(ARGV[2])
local since = age > 0 and now - age or 0
local low = kept > 0 and newest - kept + 1 or 0
local gone, ats, first, last = {}, {}, nil, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[3])) do
  local number, at = string.match(entry[1], '^%d+'), tonumber(entry[2][2])
  local old = tonumber(number) < low or at < since
  if not old or tonumber(number) >= newest then
    first = number
    break
  end
  gone[#gone + 1], ats[#ats + 1], last = number, entry[2][2], at
end
if #gone == 0 then return 0 end
first = first or string.format('%d', tonumber(gone[#gone]) + 1)
redis.call('XTRIM', KEYS[2], 'MINID', '=', first .. '-0')
redis.call('HDEL', KEYS[6], unpack(gone))
redis.call('HDEL', KEYS[7], unpack(gone))
for n, mentions in ipairs(redis.call('HMGET', KEYS[10], unpack(gone))) do
  if mentions then unmention(gone[n], ats[n]) end
end
redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', '(' .. first)
redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', '(' .. first)
redis.call('HSET', KEYS[1], 'first', first)
-- A page may yet send again what has gone a moment after it was posted.
if last < now - tonumber(ARGV[4]) then
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', gone[#gone])
end
return #gone
