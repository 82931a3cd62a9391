-- Put before every script that changes a room.
-- KEYS[1] the room's hash, KEYS[2] its stream; ARGV[1] the room's channel.
-- append(data): gives `data` the next number, adds it to the stream, publishes it.
-- Returns number and time (ms) as strings. The publish comes last and only from here: alone it
-- would succeed where the append is refused (out of memory, read-only, disk full).
local function append(data)
  local time = redis.call('TIME')
  local at = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
  local seq = string.format('%d', (tonumber(redis.call('HGET', KEYS[1], 'seq')) or 0) + 1)
  redis.call('XADD', KEYS[2], seq .. '-0', 'at', at, 'data', data)
  local line = seq .. ' ' .. at .. ' ' .. data
  redis.call('HSET', KEYS[1], 'seq', seq, 'last', line)
  redis.call('PUBLISH', ARGV[1], line)
  return seq, at
end
