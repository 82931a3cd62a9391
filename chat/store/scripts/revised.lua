-- Reads what stands beside some messages, as much as an answer of limited size holds, but all that
-- stands beside the first of them.
-- KEYS: the room's hash, its stream, edited bodies, reactions, whom messages mention.
-- ARGV: how many bytes at most, then for each message its number and that of the one it answers
-- ('' for none).
-- Returns {the oldest number that is kept, how many of the messages are done, place, what, value,
-- place, what, value...} where the places count from 1, and what is 'body', 'reactions', 'mentions',
-- or of the message that is answered 'quoted' (its data) and 'changed' (what its body is now).
local bytes, last = tonumber(ARGV[1]), (#ARGV - 1) / 2
local kept = {{KEYS[3], 'body'}, {KEYS[4], 'reactions'}, {KEYS[5], 'mentions'}}
local answer, done, size = {redis.call('HGET', KEYS[1], 'first'), 0}, 0, 0
while done < last do
  local begin, seqs, beside = done, {}, {}
  for n = begin + 1, math.min(begin + 20, last) do seqs[n - begin] = ARGV[2 * n] end
  for n, one in ipairs(kept) do beside[n] = redis.call('HMGET', one[1], unpack(seqs)) end
  for n = 1, #seqs do
    local own, answered = {}, ARGV[2 * (begin + n) + 1]
    for i, one in ipairs(kept) do
      if beside[i][n] then own[#own + 1] = {one[2], beside[i][n]} end
    end
    if answered ~= '' then
      local entry = redis.call('XRANGE', KEYS[2], answered .. '-0', answered .. '-0')[1]
      local changed = entry and redis.call('HGET', KEYS[3], answered)
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
