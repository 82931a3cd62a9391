-- Runs commands on keys of one slot and returns the token of the question with the answers.
-- KEYS: the key of each command.
-- @arg token  of the question
-- @rest words  for each command the number of its words, and the words
-- Returns the token, then the answer of each command.
local answers, at = {ARGV.token}, REST.words
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return answers
