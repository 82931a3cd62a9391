-- A process has one more open page of a person or an address, or asks whether it could.
-- KEYS: open pages by process; ARGV: most, the process, its pages with this one, '' to ask
-- only, the other processes that are alive...
-- Returns 1, or 0 when there would be too many; then nothing is changed.
local pages = tonumber(ARGV[3])
for n = 5, #ARGV do
  pages = pages + tonumber(redis.call('HGET', KEYS[1], ARGV[n]) or 0)
end
if pages > tonumber(ARGV[1]) then return 0 end
if ARGV[4] == '' then return 1 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], 86400)
return 1
