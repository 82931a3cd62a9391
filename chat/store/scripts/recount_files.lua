-- The sums of bytes against the files that are counted. It looks at all of them at once.
-- KEYS: files, bytes by person, bytes of all; ARGV: '1' to put the sums right
-- Returns how many sums are wrong.
local people, all, wrong = {}, {bytes = 0, guests = 0}, 0
local entries = redis.call('HVALS', KEYS[1])
for _, entry in ipairs(entries) do
  local by, bytes, guest = string.match(entry, '^(%S+) (%d+) %d+ %S+ ?(.*)$')
  people[by] = (people[by] or 0) + bytes
  all.bytes = all.bytes + bytes
  if guest == '1' then all.guests = all.guests + bytes end
end
local kept = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for n = 1, #kept, 2 do
  if people[kept[n]] ~= tonumber(kept[n + 1]) then
    wrong = wrong + 1
    if ARGV[1] == '1' then redis.call('ZREM', KEYS[2], kept[n]) end
  else
    people[kept[n]] = nil
  end
end
for by, bytes in pairs(people) do
  if not redis.call('ZSCORE', KEYS[2], by) then
    if ARGV[1] ~= '1' then wrong = wrong + 1 end
    if ARGV[1] == '1' then redis.call('ZADD', KEYS[2], string.format('%.0f', bytes), by) end
  end
end
for name, bytes in pairs(all) do
  if tonumber(redis.call('HGET', KEYS[3], name) or 0) ~= bytes then
    wrong = wrong + 1
    if ARGV[1] == '1' then redis.call('HSET', KEYS[3], name, string.format('%.0f', bytes)) end
  end
end
return wrong
