-- Reads those of some events of a room that are there, as many as an answer of limited size holds,
-- but the first of them at least.
-- KEYS: the room's stream. ARGV: how many bytes of events at most, numbers...
-- Returns {how many of the numbers are done, number, time, data of each event...}
local answer, size = {0}, 0
for n = 2, #ARGV do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[n] .. '-0', ARGV[n] .. '-0')[1]
  if entry then
    size = size + #entry[2][4] + 48
    if #answer > 1 and size > tonumber(ARGV[1]) then break end
    local at = #answer
    answer[at + 1], answer[at + 2], answer[at + 3] = ARGV[n], entry[2][2], entry[2][4]
  end
  answer[1] = n - 1
end
return answer
