-- How a delivery went is written down, if there still is a webhook.
-- KEYS: the hook, its log; ARGV: what is written, how many of these are kept
-- Returns 1; 0 where there is no webhook.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[2]) - 1)
return 1
