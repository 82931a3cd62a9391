-- Records up to which event members have read a room. The mark never goes back. A number of an event
-- that a failover has lost changes nothing: it is beyond the newest, or another event with another
-- time has it now. Nothing is stored for people who are not members, nor for rooms that have ended.
-- @key read
-- @key room
-- @key members
-- @key events
-- @arg seq  number of the event
-- @arg at  time of the event in ms (0: not known)
-- @rest uids
-- @include has_time
-- Returns 1 for each member and 0 for everybody else, in the order of the ids.
local seq = tonumber(ARGV.seq)
local is_shown = seq <= (tonumber(redis.call('HGET', KEYS.room, 'seq')) or 0) and has_time(seq, ARGV.at)
local members = {}
for n = REST.uids, #ARGV do
  local is_member = redis.call('ZSCORE', KEYS.members, ARGV[n])
  members[#members + 1] = is_member and 1 or 0
  if is_member and is_shown and seq > (tonumber(redis.call('HGET', KEYS.read, ARGV[n])) or 0) then
    redis.call('HSET', KEYS.read, ARGV[n], seq)
  end
end
return members
