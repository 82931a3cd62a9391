-- Changes the body of a message. The new body is stored beside the stream, not in it, so that nothing
-- of it remains when the message is deleted.
-- @room
-- @include append
-- @include mentions
-- @include find_post
-- @event
-- @arg seq  number of the message
-- @arg body
-- @arg others  '1' to change the messages of others
-- @arg mentions  JSON ('' for none)
-- Returns the number of the event; 0 when the message has that body already; -1 when there is no
-- such message for this person, -2 when it is somebody else's.
if not redis.call('ZSCORE', KEYS.members, event.uid) then return -1 end
local post, posted_at = find_post(ARGV.seq)
if not post then return -1 end
if post[FIELD.uid] ~= event.uid and ARGV.others ~= '1' then return -2 end
if (redis.call('HGET', KEYS.edits, ARGV.seq) or post[FIELD.body]) == ARGV.body then return 0 end
redis.call('HSET', KEYS.edits, ARGV.seq, ARGV.body)
remove_mentions(ARGV.seq, posted_at)
event.number = ARGV.seq
if ARGV.mentions ~= '' then
  add_mentions(ARGV.seq, posted_at, ARGV.mentions)
  event.mentions = ARGV.mentions
end
return tonumber((append(event, ARGV.body)))
