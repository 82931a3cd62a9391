-- has_time(seq, at): whether event `seq` of the room happened at this time (ms; '0': not known). If not,
-- the event that had this number was lost in a failover. It is true for an event that was deleted or is
-- too old to be kept.
local function has_time(seq, at)
  if at == '0' then return true end
  local id = string.format('%d-0', seq)
  local event = redis.call('XRANGE', KEYS.events, id, id)[1]
  return not event or event[2][2] == at
end

