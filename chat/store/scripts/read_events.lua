-- Reads events of a room, as many as fit into an answer of limited size, but at least one.
-- @key room
-- @key events
-- @key members
-- @arg direction  'after' for the events that follow the number, the oldest first; 'before' for
--   those in front of it, the newest first
-- @arg seq  number ('+' with 'before': the newest)
-- @arg limit  how many events at most
-- @arg bytes  how many bytes of events at most
-- @rest uids  of people
-- Returns {the newest number, the epoch, the oldest number that is kept, the kind of the room, the
-- time of the event with this number, the number of the oldest event, 1 when bytes alone ended the
-- answer, those of the user ids that are not members, {number, time, data of each event}}.
local room = redis.call('HMGET', KEYS.room, 'seq', 'epoch', 'first', 'kind')
local forwards, most, bytes = ARGV.direction == 'after', tonumber(ARGV.limit), tonumber(ARGV.bytes)
local gone, found, at, oldest, more = {}, {}, false, false, 0
for n = REST.uids, #ARGV, 1000 do
  local some = {unpack(ARGV, n, math.min(n + 999, #ARGV))}
  local joined = redis.call('ZMSCORE', KEYS.members, unpack(some))
  for i, uid in ipairs(some) do
    if not joined[i] then gone[#gone + 1] = uid end
  end
end
if forwards then
  local here = redis.call('XRANGE', KEYS.events, ARGV.seq .. '-0', ARGV.seq .. '-0')[1]
  at = here and here[2][2] or false
  local first = redis.call('XRANGE', KEYS.events, '-', '+', 'COUNT', 1)[1]
  oldest = first and string.match(first[1], '^%d+') or false
end
local edge = ARGV.seq == '+' and '+' or '(' .. ARGV.seq .. '-0'
local count, size = 0, 0
while count < most and more == 0 do
  local step = math.min(50, most - count)
  local some
  if forwards then
    some = redis.call('XRANGE', KEYS.events, edge, '+', 'COUNT', step)
  else
    some = redis.call('XREVRANGE', KEYS.events, edge, '-', 'COUNT', step)
  end
  for _, entry in ipairs(some) do
    size = size + #entry[2][4] + 48
    if count > 0 and size > bytes then
      more = 1
      break
    end
    count = count + 1
    found[3 * count - 2] = string.match(entry[1], '^%d+')
    found[3 * count - 1] = entry[2][2]
    found[3 * count] = entry[2][4]
    edge = '(' .. entry[1]
  end
  if #some < step then break end
end
return {room[1], room[2], room[3], room[4], at, oldest, more, gone, found}
