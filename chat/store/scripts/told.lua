-- Everybody was told that these people came or went. Who came or went again meanwhile stays to be
-- told: another process does that.
-- KEYS: as the second of present.lua; ARGV: the time that present.lua returned, ids of people...
for n = 2, #ARGV do
  local began = redis.call('ZSCORE', KEYS[1], ARGV[n])
  if began and tonumber(began) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[n]) end
end
return 1
