-- Stops counting files that no longer exist. Repeating it changes nothing.
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
    local less = string.format('%d', -bytes)  -- '0' for an empty file: HINCRBY refuses '-0'
    redis.call('HDEL', KEYS.files, fid)
    if tonumber(redis.call('ZINCRBY', KEYS.bytes_by_person, less, uid)) <= 0 then
      redis.call('ZREM', KEYS.bytes_by_person, uid)
    end
    redis.call('HINCRBY', KEYS.bytes_of_all, 'bytes', less)
    if guest == '1' then redis.call('HINCRBY', KEYS.bytes_of_all, 'guests', less) end
    count = count + 1
  end
end
return count
