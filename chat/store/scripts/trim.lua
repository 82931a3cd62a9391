-- Removes the oldest events of a room, a limited number at a time, and what is stored beside them. The
-- newest event always stays.
-- @room
-- @include mentions
-- @arg kept  how many numbers are kept (0: all)
-- @arg age_ms  from which events go (0: never), by the clock of the database, which has dated them
-- @arg limit  most events that go
-- @arg nonce_ms  age from which a message is no longer known by its nonce
-- Returns how many events have gone.
local newest = tonumber(redis.call('HGET', KEYS.room, 'seq'))
if not newest then return 0 end
local now = tonumber(redis.call('TIME')[1]) * 1000
local kept, age = tonumber(ARGV.kept), tonumber(ARGV.age_ms)
local since = age > 0 and now - age or 0
local low = kept > 0 and newest - kept + 1 or 0
local gone, ats, first, last = {}, {}, nil, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS.events, '-', '+', 'COUNT', ARGV.limit)) do
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
redis.call('XTRIM', KEYS.events, 'MINID', '=', first .. '-0')
redis.call('HDEL', KEYS.edits, unpack(gone))
redis.call('HDEL', KEYS.reactions, unpack(gone))
for n, mentions in ipairs(redis.call('HMGET', KEYS.mentions, unpack(gone))) do
  if mentions then remove_mentions(gone[n], ats[n]) end
end
redis.call('ZREMRANGEBYSCORE', KEYS.uncounted, '-inf', '(' .. first)
redis.call('ZREMRANGEBYSCORE', KEYS.files, '-inf', '(' .. first)
redis.call('HSET', KEYS.room, 'first', first)
-- A page may still resend a message that has gone a moment after it was posted.
if last < now - tonumber(ARGV.nonce_ms) then
  redis.call('ZREMRANGEBYSCORE', KEYS.nonces, '-inf', gone[#gone])
end
return #gone
