-- Put before every script that changes a room. KEYS of them all: the room's hash, its stream,
-- its members, what they have read, nonces; ARGV[1] the room's channel.

-- append(data, size): gives `data` the next number, adds it to the stream, publishes it; with
-- `size`, the number of members from now on, behind the rest.
-- Returns number and time (ms) as strings. The publish comes last and only from here: alone it
-- would succeed where the append is refused (out of memory, read-only, disk full).
local function append(data, size)
  if size then data = string.sub(data, 1, -2) .. ',"' .. size .. '"]' end
  local time = redis.call('TIME')
  local at = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
  local seq = string.format('%d', (tonumber(redis.call('HGET', KEYS[1], 'seq')) or 0) + 1)
  redis.call('XADD', KEYS[2], seq .. '-0', 'at', at, 'data', data)
  local line = seq .. ' ' .. at .. ' ' .. data
  redis.call('HSET', KEYS[1], 'seq', seq, 'last', line)
  redis.call('PUBLISH', ARGV[1], line)
  return seq, at
end

-- finish(): nobody is in the room any more; what was said is kept for 30 days.
local function finish()
  redis.call('HSET', KEYS[1], 'kind', 'ended')
  redis.call('DEL', KEYS[3], KEYS[4], KEYS[5])
  redis.call('EXPIRE', KEYS[1], 2592000)
  redis.call('EXPIRE', KEYS[2], 2592000)
end
