-- Records up to which event members have read a room; that never goes back. A number that belongs
-- to an event from before a failover changes nothing: it is beyond the newest, or the event that has
-- it now has another time. Nothing is stored for people who are not members, nor for rooms that have
-- ended.
-- @key read
-- @key room
-- @key members
-- @key events
-- @arg seq  number of the event
-- @arg at  time of the event in ms (0: not known)
-- @rest uids
-- Returns 1 for each member and 0 for everybody else, in the order of the ids.
local seq = tonumber(ARGV.seq)
local is_shown = seq <= (tonumber(redis.call('HGET', KEYS.room, 'seq')) or 0)
if is_shown and ARGV.at ~= '0' then
  local id = string.format('%d-0', seq)
  local event = redis.call('XRANGE', KEYS.events, id, id)[1] -- none: it was deleted, or is too old
  is_shown = not event or event[2][2] == ARGV.at
end
local members = {}
for n = REST.uids, #ARGV do
  local is_member = redis.call('ZSCORE', KEYS.members, ARGV[n])
  members[#members + 1] = is_member and 1 or 0
  if is_member and is_shown and seq > (tonumber(redis.call('HGET', KEYS.read, ARGV[n])) or 0) then
    redis.call('HSET', KEYS.read, ARGV[n], seq)
  end
end
return members
