-- Ends a room.
-- @room
-- @key past_members
-- @include append
-- @include finish
-- @event
-- Returns 1; 0 if the room has already ended, or does not exist.
local kind = redis.call('HGET', KEYS.room, 'kind')
if not kind or kind == 'ended' then return 0 end
append(event)
finish()
return 1
