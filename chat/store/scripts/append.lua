-- Put before every script that changes a room. KEYS of them all: the room's hash, its stream,
-- its members, what they have read, nonces, edited bodies, reactions, the numbers of events that
-- count for nothing, files, who is mentioned in what, and what mentions whom; ARGV[1] the room's
-- channel.

-- These make a room unread; of the others the numbers are kept apart.
local counts = {post = true, start = true, add = true}

-- append(data, number, said, more, quiet, files, mentions): gives `data` the next number, adds it to
-- the stream, publishes it. Behind the rest it puts `number` (of members from now on, or of the
-- message that changes), the time of the event before, and '1' where that was a message by the same
-- author not long ago. `said` is published in the place of `data` where more is to be told than kept;
-- `more` (JSON) is only published, behind all that; `files` (JSON) is kept, and published behind it;
-- `mentions` (JSON) is only published, behind those. With a `quiet` event the room's last line stays.
-- Returns number and time (ms) as strings. The publish comes last and only from here: alone it
-- would succeed where the append is refused (out of memory, read-only, disk full).
local function append(data, number, said, more, quiet, files, mentions)
  local time = redis.call('TIME')
  local at = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
  local newest = redis.call('HMGET', KEYS[1], 'seq', 'last')
  local seq = string.format('%d', (tonumber(newest[1]) or 0) + 1)
  local before, line = string.match(newest[2] or '', '^%d+ (%d+) (.*)')
  local author = line and string.match(data, '^%["post","[^"]*",')
  local same = author and string.sub(line, 1, #author) == author and at - before < 300000
  local rest = string.format(',"%s","%s","%s"]', number or '0', before or '0', same and '1' or '')
  data = string.sub(data, 1, -2) .. rest
  said = said and string.sub(said, 1, -2) .. rest or data
  if more or files or mentions then
    said = string.sub(said, 1, -2) .. ',' .. cjson.encode(more or '') .. ']'
  end
  if files then
    local kept = ',' .. cjson.encode(files) .. ']'
    data, said = string.sub(data, 1, -2) .. ',""' .. kept, string.sub(said, 1, -2) .. kept
  end
  if mentions then
    said = string.sub(said, 1, -2) .. (files and ',' or ',"",') .. cjson.encode(mentions) .. ']'
  end
  redis.call('XADD', KEYS[2], seq .. '-0', 'at', at, 'data', data)
  local head = seq .. ' ' .. at .. ' '
  if quiet then
    redis.call('HSET', KEYS[1], 'seq', seq)
  else
    redis.call('HSET', KEYS[1], 'seq', seq, 'last', head .. data)
  end
  if not author and not counts[string.match(data, '^%["(%a+)"')] then
    redis.call('ZADD', KEYS[8], seq, seq)
  end
  redis.call('SPUBLISH', ARGV[1], head .. said)
  return seq, at
end

-- Calls `command` with each entry of the mentions of a message: "<user id> <at> <number>".
local function entries(mentions, seq, at, command)
  for _, one in ipairs(cjson.decode(mentions)) do
    for uid in string.gmatch(one[2], '%S+') do command(uid .. ' ' .. at .. ' ' .. seq) end
  end
end

-- mention(seq, at, mentions): keeps whom a message mentions, beside the stream.
local function mention(seq, at, mentions)
  redis.call('HSET', KEYS[10], seq, mentions)
  entries(mentions, seq, at, function(entry) redis.call('ZADD', KEYS[11], 0, entry) end)
end

-- unmention(seq, at): takes all of that back.
local function unmention(seq, at)
  local mentions = redis.call('HGET', KEYS[10], seq)
  if not mentions then return end
  entries(mentions, seq, at, function(entry) redis.call('ZREM', KEYS[11], entry) end)
  redis.call('HDEL', KEYS[10], seq)
end

-- finish(): nobody is in the room any more; what was said is kept for 30 days. Who was in it until
-- now is kept in KEYS[12] until their lists lack the room.
local function finish()
  redis.call('HSET', KEYS[1], 'kind', 'ended')
  if redis.call('EXISTS', KEYS[3]) == 1 then
    redis.call('RENAME', KEYS[3], KEYS[12])
    redis.call('EXPIRE', KEYS[12], 2592000)
  end
  redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[10], KEYS[11])
  for _, key in ipairs({KEYS[1], KEYS[2], KEYS[9]}) do redis.call('EXPIRE', key, 2592000) end
end
