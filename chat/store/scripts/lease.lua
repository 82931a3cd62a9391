-- One process at a time does something. KEYS: the lease; ARGV: who asks, how long (ms; 0 gives
-- it back). Returns 1 for who has it, 0 for who has not.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
