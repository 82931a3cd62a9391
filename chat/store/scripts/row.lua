-- Reads a room as one of a list shows it. Of a long text that was said last only the beginning is
-- read, so that the answers to many rooms stay small.
-- KEYS: the room's hash, its members, what they have read, the numbers of events that count for
-- nothing, what mentions whom. ARGV: user id, how many characters of the last text at most, how
-- many mentions of each kind are counted at most, what stands for everybody.
-- Returns {rid, name, about, kind, owner, epoch, seq, last, first, when that person joined, the
-- newest number that person has seen, how many of the events since count for nothing, how many of
-- them mention that person}.
local room = redis.call('HMGET', KEYS[1], 'rid', 'name', 'about', 'kind', 'owner', 'epoch', 'seq',
  'last', 'first')
local head, data = string.match(#(room[8] or '') > 1000 and room[8] or '', '^(%d+ %d+ )(.*)$')
if head then
  local event = cjson.decode(data)
  local at, most = 1, tonumber(ARGV[2])
  while most > 0 and at <= #event[4] do
    local byte = string.byte(event[4], at)
    at, most = at + (byte < 128 and 1 or byte < 224 and 2 or byte < 240 and 3 or 4), most - 1
  end
  if event[11] and event[4] ~= '' then event[11] = '' end -- the text is shown, and no file
  event[4] = string.sub(event[4], 1, at - 1)
  room[8] = head .. cjson.encode(event)
end
room[10] = redis.call('ZSCORE', KEYS[2], ARGV[1])
room[11] = redis.call('HGET', KEYS[3], ARGV[1])
room[12], room[13] = 0, 0
local read = tonumber(room[11] or 0)
if room[10] and room[7] and tonumber(room[7]) > read then
  room[12] = redis.call('ZCOUNT', KEYS[4], '(' .. (room[11] or 0), '+inf')
  local seen = {}
  for _, who in ipairs({ARGV[1], ARGV[4]}) do
    local found = redis.call('ZREVRANGEBYLEX', KEYS[5], '(' .. who .. ' ~', '[' .. who .. ' ',
      'LIMIT', 0, ARGV[3])
    for _, entry in ipairs(found) do
      local seq = string.match(entry, '%d+$')
      if tonumber(seq) > read and not seen[seq] then
        seen[seq], room[13] = true, room[13] + 1
      end
    end
  end
end
return room
