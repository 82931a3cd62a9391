-- Stores whom each message mentions, beside the stream: by message, and in an index by person.

-- Calls `change` with each entry of the index: "<user id> <time> <number>".
local function each_mention(mentions, seq, at, change)
  for _, mention in ipairs(cjson.decode(mentions)) do
    for uid in string.gmatch(mention[2], '%S+') do change(uid .. ' ' .. at .. ' ' .. seq) end
  end
end

-- Stores the mentions of message `seq`, posted at the time `at` (both strings).
local function add_mentions(seq, at, mentions)
  redis.call('HSET', KEYS.mentions, seq, mentions)
  each_mention(mentions, seq, at, function(entry) redis.call('ZADD', KEYS.mentioned, 0, entry) end)
end

-- Removes the mentions of message `seq`.
local function remove_mentions(seq, at)
  local mentions = redis.call('HGET', KEYS.mentions, seq)
  if not mentions then return end
  each_mention(mentions, seq, at, function(entry) redis.call('ZREM', KEYS.mentioned, entry) end)
  redis.call('HDEL', KEYS.mentions, seq)
end
