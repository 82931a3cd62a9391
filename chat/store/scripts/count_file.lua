-- Counts a file for the person who sends it, before the file is stored; or counts it again when its
-- size is known.
-- @key files
-- @key bytes_by_person
-- @key bytes_of_all
-- @arg fid  id of the file
-- @arg uid
-- @arg rid
-- @arg bytes
-- @arg guest  '1' for a guest
-- @arg person_limit  most bytes of this person (0: no limit)
-- @arg guests_limit  most bytes of all guests together (0: no limit)
-- @arg chat_limit  most bytes of the whole chat (0: no limit)
-- Returns {'', 0}; or what is full ('person', 'guests' or 'chat') and how many bytes that has without
-- this file, and then nothing has changed.
local had, before, uid, guest = 0, redis.call('HGET', KEYS.files, ARGV.fid), ARGV.uid, ARGV.guest
if before then uid, had, guest = string.match(before, '^(%S+) (%d+) %d+ %S+ ?(.*)$') end
had = tonumber(had)
local bytes = tonumber(ARGV.bytes)
local sums = {
  {'person', redis.call('ZSCORE', KEYS.bytes_by_person, uid), ARGV.person_limit},
  {'guests', redis.call('HGET', KEYS.bytes_of_all, 'guests'), ARGV.guests_limit},
  {'chat', redis.call('HGET', KEYS.bytes_of_all, 'bytes'), ARGV.chat_limit},
}
if guest ~= '1' then table.remove(sums, 2) end
for _, sum in ipairs(sums) do
  local used, limit = tonumber(sum[2] or 0) - had, tonumber(sum[3])
  if bytes > had and limit > 0 and used + bytes > limit then return {sum[1], used} end
end
local more = string.format('%.0f', bytes - had)
local entry = {uid, string.format('%.0f', bytes), redis.call('TIME')[1], ARGV.rid, guest}
redis.call('HSET', KEYS.files, ARGV.fid, table.concat(entry, ' '))
redis.call('ZINCRBY', KEYS.bytes_by_person, more, uid)
redis.call('HINCRBY', KEYS.bytes_of_all, 'bytes', more)
if guest == '1' then redis.call('HINCRBY', KEYS.bytes_of_all, 'guests', more) end
return {'', 0}
