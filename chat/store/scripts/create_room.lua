-- Creates a room with its first event and its first members. Repeating it changes nothing.
-- @room
-- @include append
-- @event
-- @arg name
-- @arg about
-- @arg kind
-- @arg owner
-- @arg epoch
-- @rest uids  of the members
-- Returns 1, or 0 when the room exists already. For the other members the first event is unread.
if redis.call('EXISTS', KEYS.room) == 1 then return 0 end
redis.call('HSET', KEYS.room, 'rid', string.match(KEYS.room, '{(.*)}'), 'name', ARGV.name,
  'about', ARGV.about, 'kind', ARGV.kind, 'owner', ARGV.owner, 'epoch', ARGV.epoch)
event.number = #ARGV - REST.uids + 1
local seq, at = append(event)
redis.call('HSET', KEYS.room, 'created', at)
for n = REST.uids, #ARGV do redis.call('ZADD', KEYS.members, at, ARGV[n]) end
redis.call('HSET', KEYS.read, event.uid, seq)
return 1
