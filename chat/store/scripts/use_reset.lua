-- Sets a person's password by a link, which cannot be used again.
-- @key user
-- @arg digest  of the link's secret
-- @arg password  its hash
-- Returns 1; 0 where a newer link exists, or this one was used.
if redis.call('HGET', KEYS.user, 'reset') ~= ARGV.digest then return 0 end
redis.call('HSET', KEYS.user, 'password', ARGV.password)
redis.call('HDEL', KEYS.user, 'reset', 'reset_by')
return 1
