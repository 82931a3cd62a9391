-- Deletes a message. It is removed from the stream, which leaves a gap in the numbers.
-- @room
-- @include append
-- @include mentions
-- @include find_post
-- @event
-- @arg seq  number of the message
-- @arg rights  'others' to delete the messages of others, 'all' to do so without being a member,
--   '' to delete one's own
-- Returns the number of the event; -1 when there is no such message for this person, -2 when it
-- is somebody else's.
local may_be_outside = ARGV.rights == 'all' and redis.call('HGET', KEYS.room, 'kind') ~= 'ended'
if not may_be_outside and not redis.call('ZSCORE', KEYS.members, event.uid) then return -1 end
local post, posted_at = find_post(ARGV.seq)
if not post then return -1 end
if post[FIELD.uid] ~= event.uid and ARGV.rights == '' then return -2 end
event.number = ARGV.seq
local seq = append(event)
remove_mentions(ARGV.seq, posted_at)
redis.call('XDEL', KEYS.events, ARGV.seq .. '-0')
redis.call('HDEL', KEYS.edits, ARGV.seq)
redis.call('HDEL', KEYS.reactions, ARGV.seq)
redis.call('ZREMRANGEBYSCORE', KEYS.files, ARGV.seq, ARGV.seq)
redis.call('ZADD', KEYS.uncounted, ARGV.seq, ARGV.seq)
return tonumber(seq)
