-- Logs how a delivery went, if the webhook still exists.
-- @webhook
-- @arg entry
-- @arg limit  entries that are kept
-- Returns 1; 0 where there is no webhook.
if redis.call('EXISTS', KEYS.webhook) == 0 then return 0 end
redis.call('LPUSH', KEYS.log, ARGV.entry)
redis.call('LTRIM', KEYS.log, 0, tonumber(ARGV.limit) - 1)
return 1
