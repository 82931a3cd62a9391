-- Posts a message of a member.
-- @room
-- @include append
-- @include mentions
-- @include find_post
-- @include has_time
-- @event
-- @arg resend  identifies the post, so that a resend is recognized ('' for none)
-- @arg composer  identifies the form it was sent from
-- @arg nonces_kept  how many events long nonces are kept
-- @arg reply  number of the message that is answered ('' for none; ignored where there is none)
-- @arg files  JSON ('' for none)
-- @arg mentions  JSON ('' for none)
-- @arg shown  number of the last event that the author was shown
-- @arg shown_at  its time in ms (0: not known)
-- @rest fids  ids of the files
-- Returns {number, 1}; {number of the first post, 0} for a resend;
-- {-1, 0} when there is no such room for the author, {-2, 0} when it is open but not joined.
if not redis.call('ZSCORE', KEYS.members, event.uid) then
  return {redis.call('HGET', KEYS.room, 'kind') == 'open' and -2 or -1, 0}
end
if ARGV.resend ~= '' then
  local first = redis.call('ZSCORE', KEYS.nonces, ARGV.resend)
  if first then return {tonumber(first), 0} end
end
if ARGV.reply ~= '' then
  local quoted = find_post(ARGV.reply)
  if quoted then
    quoted[FIELD.body] = redis.call('HGET', KEYS.edits, ARGV.reply) or quoted[FIELD.body]
    event.number, event.extra = ARGV.reply, cjson.encode(quoted)
  end
end
if ARGV.files ~= '' then event.files = ARGV.files end
if ARGV.mentions ~= '' then event.mentions = ARGV.mentions end
local seq, at = append(event)
for n = REST.fids, #ARGV do redis.call('ZADD', KEYS.files, seq, ARGV[n]) end
if ARGV.mentions ~= '' then add_mentions(seq, at, ARGV.mentions) end
if ARGV.resend ~= '' then
  redis.call('ZADD', KEYS.nonces, 'NX', seq, ARGV.resend, seq, ARGV.composer)
  redis.call('ZREMRANGEBYSCORE', KEYS.nonces, '-inf', tonumber(seq) - tonumber(ARGV.nonces_kept))
end
-- Posting is not reading. The author has seen the own message, and earlier ones of others only as far
-- as they were shown. Events that do not count as unread leave no gap.
local marked, shown = tonumber(redis.call('HGET', KEYS.read, event.uid)), tonumber(ARGV.shown)
local read = marked or 0
if shown > read and shown < tonumber(seq) and has_time(shown, ARGV.shown_at) then read = shown end
local unread = seq - 1 - read
if unread > 0 then unread = unread - redis.call('ZCOUNT', KEYS.uncounted, '(' .. read, '(' .. seq) end
if unread <= 0 then read = seq end
if read ~= marked then redis.call('HSET', KEYS.read, event.uid, read) end
return {tonumber(seq), 1}
