-- A person's password is set by a link, which is of no use afterwards.
-- KEYS: the person; ARGV: digest of the link's secret, hash of the password
-- Returns 1; 0 where another link was made since, or this one was used.
if redis.call('HGET', KEYS[1], 'reset') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'password', ARGV[2])
redis.call('HDEL', KEYS[1], 'reset', 'reset_by')
return 1
