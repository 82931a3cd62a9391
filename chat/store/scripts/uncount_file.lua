-- Removes files that are gone from the counts. Repeating it changes nothing.
-- @key files
-- @key bytes_by_person
-- @key bytes_of_all
-- @rest fids  ids of the files
-- Returns how many of them were counted until now.
local count = 0
for _, fid in ipairs(ARGV) do
  local entry = redis.call('HGET', KEYS.files, fid)
  if entry then
    local uid, bytes, guest = string.match(entry, '^(%S+) (%d+) %d+ %S+ ?(.*)$')
    redis.call('HDEL', KEYS.files, fid)
    if tonumber(redis.call('ZINCRBY', KEYS.bytes_by_person, '-' .. bytes, uid)) <= 0 then
      redis.call('ZREM', KEYS.bytes_by_person, uid)
    end
    redis.call('HINCRBY', KEYS.bytes_of_all, 'bytes', '-' .. bytes)
    if guest == '1' then redis.call('HINCRBY', KEYS.bytes_of_all, 'guests', '-' .. bytes) end
    count = count + 1
  end
end
return count
