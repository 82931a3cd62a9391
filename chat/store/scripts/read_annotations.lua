-- Reads what is stored beside messages, as much as fits into an answer of limited size, but at least
-- everything that belongs to the first message.
-- @key room
-- @key events
-- @key edits
-- @key reactions
-- @key mentions
-- @arg bytes  at most
-- @rest seqs  for each message its number and that of the message it answers ('' for none)
-- Returns {the oldest number that is kept, how many of the messages are done, place, what, value,
-- place, what, value...} where the places count from 1, and what is 'body', 'reactions', 'mentions',
-- or, of the message that is answered, 'quoted' (its data) and 'changed' (its present body).
local bytes, last = tonumber(ARGV.bytes), (#ARGV - REST.seqs + 1) / 2
local kept = {{KEYS.edits, 'body'}, {KEYS.reactions, 'reactions'}, {KEYS.mentions, 'mentions'}}
local answer, done, size = {redis.call('HGET', KEYS.room, 'first'), 0}, 0, 0
while done < last do
  local begin, seqs, beside = done, {}, {}
  for n = begin + 1, math.min(begin + 20, last) do
    seqs[n - begin] = ARGV[REST.seqs + 2 * (n - 1)]
  end
  for n, one in ipairs(kept) do beside[n] = redis.call('HMGET', one[1], unpack(seqs)) end
  for n = 1, #seqs do
    local own, answered = {}, ARGV[REST.seqs + 2 * (begin + n - 1) + 1]
    for i, one in ipairs(kept) do
      if beside[i][n] then own[#own + 1] = {one[2], beside[i][n]} end
    end
    if answered ~= '' then
      local entry = redis.call('XRANGE', KEYS.events, answered .. '-0', answered .. '-0')[1]
      local changed = entry and redis.call('HGET', KEYS.edits, answered)
      if entry then own[#own + 1] = {'quoted', entry[2][4]} end
      if changed then own[#own + 1] = {'changed', changed} end
    end
    for _, one in ipairs(own) do size = size + #one[2] + 32 end
    if done > 0 and size > bytes then
      answer[2] = done
      return answer
    end
    done = done + 1
    for _, one in ipairs(own) do
      local at = #answer
      answer[at + 1], answer[at + 2], answer[at + 3] = done, one[1], one[2]
    end
  end
end
answer[2] = done
return answer
