-- Removes a member who leaves or is removed. When the last member goes, the room ends.
-- @room
-- @key past_members
-- @include append
-- @include finish
-- @event
-- @arg uid  the member
-- Returns the number of members left; -1 when the person is no member, -2 for an owner while others
-- are in the room, -3 in a direct room.
local kind = redis.call('HGET', KEYS.room, 'kind')
if not kind or not redis.call('ZSCORE', KEYS.members, ARGV.uid) then return -1 end
if kind == 'direct' then return -3 end
local size = redis.call('ZCARD', KEYS.members) - 1
if size > 0 and redis.call('HGET', KEYS.room, 'owner') == ARGV.uid then return -2 end
event.number = size
append(event)
redis.call('ZREM', KEYS.members, ARGV.uid)
redis.call('HDEL', KEYS.read, ARGV.uid)
if size == 0 then finish() end
return size
