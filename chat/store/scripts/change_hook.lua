-- A field of a webhook changes, if there still is one.
-- KEYS: the hook; ARGV: field, value
-- Returns 1; 0 where there is no webhook.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
