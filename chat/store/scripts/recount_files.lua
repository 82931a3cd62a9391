-- Checks the sums of bytes against the files that are counted. It looks at all of them at once.
-- @key files
-- @key bytes_by_person
-- @key bytes_of_all
-- @arg repair  '1' to correct the sums
-- Returns how many sums are wrong.
local people, all, wrong = {}, {bytes = 0, guests = 0}, 0
for _, entry in ipairs(redis.call('HVALS', KEYS.files)) do
  local uid, bytes, guest = string.match(entry, '^(%S+) (%d+) %d+ %S+ ?(.*)$')
  people[uid] = (people[uid] or 0) + bytes
  all.bytes = all.bytes + bytes
  if guest == '1' then all.guests = all.guests + bytes end
end
local counted = redis.call('ZRANGE', KEYS.bytes_by_person, 0, -1, 'WITHSCORES')
for n = 1, #counted, 2 do
  if people[counted[n]] ~= tonumber(counted[n + 1]) then
    wrong = wrong + 1
    if ARGV.repair == '1' then redis.call('ZREM', KEYS.bytes_by_person, counted[n]) end
  else
    people[counted[n]] = nil
  end
end
for uid, bytes in pairs(people) do
  if not redis.call('ZSCORE', KEYS.bytes_by_person, uid) then
    if ARGV.repair == '1' then
      redis.call('ZADD', KEYS.bytes_by_person, string.format('%.0f', bytes), uid)
    else
      wrong = wrong + 1
    end
  end
end
for name, bytes in pairs(all) do
  if tonumber(redis.call('HGET', KEYS.bytes_of_all, name) or 0) ~= bytes then
    wrong = wrong + 1
    if ARGV.repair == '1' then
      redis.call('HSET', KEYS.bytes_of_all, name, string.format('%.0f', bytes))
    end
  end
end
return wrong
