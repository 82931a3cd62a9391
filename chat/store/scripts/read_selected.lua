-- Reads events by their numbers, as many as fit into an answer of limited size, but at least the first
-- that exists.
-- @key events
-- @arg bytes  of events at most
-- @rest seqs  numbers of the events
-- Returns {how many of the numbers are done, number, time, data of each event...}
local answer, size = {0}, 0
for n = REST.seqs, #ARGV do
  local entry = redis.call('XRANGE', KEYS.events, ARGV[n] .. '-0', ARGV[n] .. '-0')[1]
  if entry then
    size = size + #entry[2][4] + 48
    if #answer > 1 and size > tonumber(ARGV.bytes) then break end
    local at = #answer
    answer[at + 1], answer[at + 2], answer[at + 3] = ARGV[n], entry[2][2], entry[2][4]
  end
  answer[1] = n - REST.seqs + 1
end
return answer
