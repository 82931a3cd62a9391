-- Reads a room as a room list shows it. Of a long last message only the beginning is read, so that
-- the answers for many rooms stay small.
-- @key room
-- @key members
-- @key read
-- @key uncounted
-- @key mentioned
-- @arg uid
-- @arg chars  of the last message at most
-- @arg mentions_limit  how many mentions of each kind are counted at most
-- @arg everybody  the id that stands for everybody
-- Returns {rid, name, about, kind, owner, epoch, seq, last, first, when the person joined, the
-- newest number the person has read, how many of the events since do not count as unread, how many
-- of them mention the person}.
local room = redis.call('HMGET', KEYS.room, 'rid', 'name', 'about', 'kind', 'owner', 'epoch', 'seq',
  'last', 'first')
local head, data = string.match(#(room[8] or '') > 1000 and room[8] or '', '^(%d+ %d+ )(.*)$')
if head then
  local is_json, event = pcall(cjson.decode, data)
  local body = is_json and type(event) == 'table' and event[FIELD.body]
  if type(body) == 'string' then
    local at, most = 1, tonumber(ARGV.chars)
    while most > 0 and at <= #body do
      local byte = string.byte(body, at)
      at, most = at + (byte < 128 and 1 or byte < 224 and 2 or byte < 240 and 3 or 4), most - 1
    end
    if event[FIELD.files] and body ~= '' then event[FIELD.files] = '' end -- only the text is shown
    event[FIELD.body] = string.sub(body, 1, at - 1)
    room[8] = head .. cjson.encode(event)
  else
    room[8] = head -- which Python reads as a message that cannot be read
  end
end
room[10] = redis.call('ZSCORE', KEYS.members, ARGV.uid)
room[11] = redis.call('HGET', KEYS.read, ARGV.uid)
room[12], room[13] = 0, 0
-- Python leaves out a room where one of these is no number; an error here would cost all rooms.
local read, newest = tonumber(room[11] or 0), tonumber(room[7])
if room[10] and read and newest and newest > read then
  room[12] = redis.call('ZCOUNT', KEYS.uncounted, '(' .. read, '+inf')
  local seen = {}
  for _, who in ipairs({ARGV.uid, ARGV.everybody}) do
    local found = redis.call('ZREVRANGEBYLEX', KEYS.mentioned, '(' .. who .. ' ~', '[' .. who .. ' ',
      'LIMIT', 0, ARGV.mentions_limit)
    for _, entry in ipairs(found) do
      local seq = tonumber(string.match(entry, '%d+$'))
      if seq and seq > read and not seen[seq] then
        seen[seq], room[13] = true, room[13] + 1
      end
    end
  end
end
return room
