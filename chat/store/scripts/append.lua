-- Put before every script that changes a room. KEYS of them all: the room's hash, its stream,
-- its members, what they have read, nonces, edited bodies; ARGV[1] the room's channel.

-- append(data, number, said): gives `data` the next number, adds it to the stream, publishes it;
-- with `number` (of members from now on, or of the message that changes) behind the rest. `said`
-- is published in the place of `data` where more is to be told than kept.
-- Returns number and time (ms) as strings. The publish comes last and only from here: alone it
-- would succeed where the append is refused (out of memory, read-only, disk full).
local function append(data, number, said)
  local rest = number and ',"' .. number .. '"]' or ']'
  data = string.sub(data, 1, -2) .. rest
  said = said and string.sub(said, 1, -2) .. rest or data
  local time = redis.call('TIME')
  local at = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
  local seq = string.format('%d', (tonumber(redis.call('HGET', KEYS[1], 'seq')) or 0) + 1)
  redis.call('XADD', KEYS[2], seq .. '-0', 'at', at, 'data', data)
  local head = seq .. ' ' .. at .. ' '
  redis.call('HSET', KEYS[1], 'seq', seq, 'last', head .. data)
  redis.call('PUBLISH', ARGV[1], head .. said)
  return seq, at
end

-- finish(): nobody is in the room any more; what was said is kept for 30 days.
local function finish()
  redis.call('HSET', KEYS[1], 'kind', 'ended')
  redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
  redis.call('EXPIRE', KEYS[1], 2592000)
  redis.call('EXPIRE', KEYS[2], 2592000)
end
