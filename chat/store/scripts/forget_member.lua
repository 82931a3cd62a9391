-- Removes a member who will not come back from an open or closed room, without an event: nobody
-- left just now. When the last member goes, the room ends.
-- @room
-- @key past_members
-- @include append
-- @include finish
-- @event
-- Returns the number of members left; -1 when the person is no member or the room is of another
-- kind.
local kind = redis.call('HGET', KEYS.room, 'kind')
if kind ~= 'open' and kind ~= 'closed' then return -1 end
if not redis.call('ZSCORE', KEYS.members, event.uid) then return -1 end
local size = redis.call('ZCARD', KEYS.members) - 1
if size == 0 then append(event) end
redis.call('ZREM', KEYS.members, event.uid)
redis.call('HDEL', KEYS.read, event.uid)
if size == 0 then finish() end
return size
