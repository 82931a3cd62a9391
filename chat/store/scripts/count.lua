-- One more try. KEYS: the count; ARGV: seconds until it begins anew. Returns the tries so far.
local tries = redis.call('INCR', KEYS[1])
if tries == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return tries
