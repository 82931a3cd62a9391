-- Runs commands on keys of one slot and says whose question it answers.
-- KEYS: the key of each command. ARGV: the question's token, then for each command the number of its
-- words and the words.
-- Returns the token, then the answer of each command.
local answers, at = {ARGV[1]}, 2
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return answers
