-- Makes a person a member.
-- @room
-- @include append
-- @event
-- @arg uid  the person
-- @arg kind  the kind the room must have; '' for open or closed, where somebody else adds the
--   person, for whom the event is unread
-- @arg limit  most members (0: no limit)
-- Returns 1 when the person joined now, 0 when a member already, -1 when there is no such room, -2
-- when it is full.
local kind = redis.call('HGET', KEYS.room, 'kind')
if not kind or kind == 'ended' then return -1 end
if redis.call('ZSCORE', KEYS.members, ARGV.uid) then return 0 end
local added = ARGV.kind == '' and (kind == 'open' or kind == 'closed')
if not added and kind ~= ARGV.kind then return -1 end
local size, limit = redis.call('ZCARD', KEYS.members) + 1, tonumber(ARGV.limit)
if limit > 0 and size > limit then return -2 end
event.number = size
local seq, at = append(event)
redis.call('ZADD', KEYS.members, at, ARGV.uid)
redis.call('HSET', KEYS.read, ARGV.uid, added and tonumber(seq) - 1 or seq)
return 1
