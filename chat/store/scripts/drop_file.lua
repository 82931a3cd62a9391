-- Files are kept no longer, and count no longer. It may be repeated.
-- KEYS: files, bytes by person, bytes of all; ARGV: file ids...
-- Returns how many were counted until now.
local count = 0
for _, fid in ipairs(ARGV) do
  local entry = redis.call('HGET', KEYS[1], fid)
  if entry then
    local by, bytes, guest = string.match(entry, '^(%S+) (%d+) %d+ %S+ ?(.*)$')
    redis.call('HDEL', KEYS[1], fid)
    if tonumber(redis.call('ZINCRBY', KEYS[2], '-' .. bytes, by)) <= 0 then
      redis.call('ZREM', KEYS[2], by)
    end
    redis.call('HINCRBY', KEYS[3], 'bytes', '-' .. bytes)
    if guest == '1' then redis.call('HINCRBY', KEYS[3], 'guests', '-' .. bytes) end
    count = count + 1
  end
end
return count
