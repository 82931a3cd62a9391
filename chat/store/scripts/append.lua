-- append(event, published): gives an event the next number of the room, stores it and publishes it.
-- `event` has the fields of FIELD by name: kind, uid, name, body, tag and picture from the caller
-- (see @event), and where they apply:
--   number    of members after the event, or of the message that it changes or answers
--   extra     JSON that is published and not stored here: the quoted message, or the reactions
--   files     JSON of the files, which is stored and published
--   mentions  JSON of the mentions, which is published and stored beside the event
-- `before` and `same` are set here. `published` is the body to publish, where that is not stored.
-- Returns the number and the time (ms) as strings. The publish comes last, and only here, because it
-- would succeed even where the write is refused (out of memory, read-only, disk full).
local function append(event, published)
  local time = redis.call('TIME')
  local at = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
  local newest = redis.call('HMGET', KEYS.room, 'seq', 'last')
  local seq = string.format('%d', (tonumber(newest[1]) or 0) + 1)
  local before, start = string.match(newest[2] or '', '^%d+ (%d+) ()')
  event.number, event.before, event.same = tostring(event.number or '0'), before or '0', ''
  if before and event.kind == CONST.POST and at - before < CONST.SAME_AUTHOR_MS then
    local author = '["' .. event.kind .. '","' .. event.uid .. '",'
    if string.sub(newest[2], start, start + #author - 1) == author then event.same = '1' end
  end
  local extra, mentions = event.extra, event.mentions
  event.extra, event.mentions = event.files and '' or nil, nil
  local data = cjson.encode(event)
  local sent = data
  if published or extra or mentions then
    event.body = published or event.body
    event.extra = (extra or event.files or mentions) and (extra or '')
    event.mentions = mentions
    event.files = event.files or mentions and ''
    sent = cjson.encode(event)
  end
  redis.call('XADD', KEYS.events, seq .. '-0', 'at', at, 'data', data)
  local head, kind = seq .. ' ' .. at .. ' ', ' ' .. event.kind .. ' '
  if string.find(CONST.SILENT, kind, 1, true) then
    redis.call('HSET', KEYS.room, 'seq', seq)
  else
    redis.call('HSET', KEYS.room, 'seq', seq, 'last', head .. data)
  end
  if string.find(CONST.UNCOUNTED, kind, 1, true) then
    redis.call('ZADD', KEYS.uncounted, seq, seq)
  end
  redis.call('SPUBLISH', KEYS.room, head .. sent) -- a room's channel is named like its key
  return seq, at
end
