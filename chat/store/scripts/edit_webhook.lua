-- Changes a field of a webhook, if the webhook still exists.
-- @webhook
-- @arg field
-- @arg value
-- Returns 1; 0 where there is no webhook.
if redis.call('EXISTS', KEYS.webhook) == 0 then return 0 end
redis.call('HSET', KEYS.webhook, ARGV.field, ARGV.value)
return 1
