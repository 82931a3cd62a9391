-- Records that these people were announced. People who came or went again meanwhile are left to
-- another process.
-- @key unannounced  as in update_presence.lua
-- @arg stamp  the time that update_presence.lua returned
-- @rest uids
for n = REST.uids, #ARGV do
  local began = redis.call('ZSCORE', KEYS.unannounced, ARGV[n])
  if began and tonumber(began) == tonumber(ARGV.stamp) then
    redis.call('ZREM', KEYS.unannounced, ARGV[n])
  end
end
return 1
