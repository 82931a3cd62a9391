-- Takes, renews or releases a lease, which one process holds at a time.
-- @key lease
-- @arg holder  id of the process that asks
-- @arg ms  how long the lease lasts; 0 releases it
-- Returns 1 when the caller holds the lease (or has released it), 0 when another process holds it.
local held = redis.call('GET', KEYS.lease)
if held and held ~= ARGV.holder then return 0 end
if ARGV.ms == '0' then
  redis.call('DEL', KEYS.lease)
else
  redis.call('SET', KEYS.lease, ARGV.holder, 'PX', ARGV.ms)
end
return 1
