-- A file is counted for the person who sends it, before it is kept; or counted anew, when its size is
-- known.
-- KEYS: files, bytes by person, bytes of all
-- ARGV: file id, user id, room id, bytes, '1' for a guest, and the most bytes of this person, of all
-- guests together and of the whole chat (0: no limit)
-- Returns {'', 0}; or what is full ('person', 'guests' or 'chat') and how many bytes that has without
-- this file, and then nothing has changed.
local had, before, by, guest = 0, redis.call('HGET', KEYS[1], ARGV[1]), ARGV[2], ARGV[5]
if before then by, had, guest = string.match(before, '^(%S+) (%d+) %d+ %S+ ?(.*)$') end
had = tonumber(had)
local bytes = tonumber(ARGV[4])
local used = {
  {'person', tonumber(redis.call('ZSCORE', KEYS[2], by) or 0) - had, tonumber(ARGV[6])},
  {'guests', tonumber(redis.call('HGET', KEYS[3], 'guests') or 0) - had, tonumber(ARGV[7])},
  {'chat', tonumber(redis.call('HGET', KEYS[3], 'bytes') or 0) - had, tonumber(ARGV[8])},
}
if guest ~= '1' then table.remove(used, 2) end
for _, one in ipairs(used) do
  if bytes > had and one[3] > 0 and one[2] + bytes > one[3] then return {one[1], one[2]} end
end
local more = string.format('%.0f', bytes - had)
local entry = {by, string.format('%.0f', bytes), redis.call('TIME')[1], ARGV[3], guest}
redis.call('HSET', KEYS[1], ARGV[1], table.concat(entry, ' '))
redis.call('ZINCRBY', KEYS[2], more, by)
redis.call('HINCRBY', KEYS[3], 'bytes', more)
if guest == '1' then redis.call('HINCRBY', KEYS[3], 'guests', more) end
return {'', 0}
