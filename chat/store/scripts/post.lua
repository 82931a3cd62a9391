-- A member posts.
-- ARGV: channel, user id, data, what makes a resend a repeat ('' for none), what names its
-- composer, nonces kept, number of the message that is answered ('' for none, and where that is
-- no message of this room it is none), files ('' for none), whom it mentions (mentions.pack, '' for
-- nobody), number of the last event that the author was shown, ids of the files...
-- Returns {number, 1}; {number of the first one, 0} for a repeat;
-- {-1, 0} when there is no such room for the author, {-2, 0} when it is open but not joined.
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then
  return {redis.call('HGET', KEYS[1], 'kind') == 'open' and -2 or -1, 0}
end
if ARGV[4] ~= '' then
  local first = redis.call('ZSCORE', KEYS[5], ARGV[4])
  if first then return {tonumber(first), 0} end
end
local answers, quoted
if ARGV[7] ~= '' then
  local entry = redis.call('XRANGE', KEYS[2], ARGV[7] .. '-0', ARGV[7] .. '-0')[1]
  local post = entry and cjson.decode(entry[2][4])
  if post and post[1] == 'post' then
    post[4] = redis.call('HGET', KEYS[6], ARGV[7]) or post[4]
    answers, quoted = ARGV[7], cjson.encode(post)
  end
end
local files = ARGV[8] ~= '' and ARGV[8] or nil
local mentions = ARGV[9] ~= '' and ARGV[9] or nil
local seq, at = append(ARGV[3], answers, nil, quoted, nil, files, mentions)
for n = 11, #ARGV do redis.call('ZADD', KEYS[9], seq, ARGV[n]) end
if mentions then mention(seq, at, mentions) end
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[5], 'NX', seq, ARGV[4], seq, ARGV[5])
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', tonumber(seq) - tonumber(ARGV[6]))
end
-- Writing is not reading: the author has seen the own message, and what others wrote before it
-- only as far as the author was shown it. Events that count for nothing are no gap.
local read, shown = tonumber(redis.call('HGET', KEYS[4], ARGV[2])) or 0, tonumber(ARGV[10])
if shown > read and shown < tonumber(seq) then read = shown end
local unread = seq - 1 - read
if unread > 0 then unread = unread - redis.call('ZCOUNT', KEYS[8], '(' .. read, '(' .. seq) end
redis.call('HSET', KEYS[4], ARGV[2], unread > 0 and read or seq)
return {tonumber(seq), 1}
