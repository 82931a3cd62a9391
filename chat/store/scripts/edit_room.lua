-- Changes a field of an open or closed room.
-- @room
-- @include append
-- @event
-- @arg field  name, about, kind or owner
-- @arg value
-- Returns 1; 0 when the field had that value already; -1 when there is no such room; -2 when the
-- new owner is not a member.
local kind = redis.call('HGET', KEYS.room, 'kind')
if kind ~= 'open' and kind ~= 'closed' then return -1 end
if ARGV.field == 'owner' and not redis.call('ZSCORE', KEYS.members, ARGV.value) then return -2 end
if redis.call('HGET', KEYS.room, ARGV.field) == ARGV.value then return 0 end
append(event)
redis.call('HSET', KEYS.room, ARGV.field, ARGV.value)
return 1
