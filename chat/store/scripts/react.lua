-- A member reacts to a message, or takes that back.
-- Kept beside the stream is a list of [emoji, user id, name, number]: the number of the event that
-- set it, or that of the one that took it back, negative; of these only each person's last, so that
-- the list does not grow by them.
-- ARGV: channel, user id, number, data of reacting, data of taking back, emoji, name, what is
-- wanted, most emoji and most reactions on one message. Wanted is 'on', 'off', or the number up to
-- which the person's page shows reactions: then the other way round, unless the person has changed
-- it since. So a double click, a resend and a page that is not up to date do no harm.
-- Returns the number of the event; 0 when nothing is to change; -1 when there is no such message
-- for this person, -3 when it has as many as it can take.
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return -1 end
local entry = redis.call('XRANGE', KEYS[2], ARGV[3] .. '-0', ARGV[3] .. '-0')[1]
if not entry or cjson.decode(entry[2][4])[1] ~= 'post' then return -1 end
local uid, emoji, wanted = ARGV[2], ARGV[6], ARGV[8]
local kept = cjson.decode(redis.call('HGET', KEYS[7], ARGV[3]) or '[]')
local mine, others, emojis, all, different = 0, {}, {}, 0, 0
for _, one in ipairs(kept) do
  if one[2] == uid and one[1] == emoji then
    mine = one[4]
  elseif one[2] ~= uid or one[4] > 0 then
    others[#others + 1] = one
  end
  if one[4] > 0 then
    all = all + 1
    if not emojis[one[1]] then different = different + 1 end
    emojis[one[1]] = true
  end
end
if wanted ~= 'on' and wanted ~= 'off' then
  if math.abs(mine) > tonumber(wanted) then return 0 end
  wanted = mine > 0 and 'off' or 'on'
end
local on = wanted == 'on'
if on == (mine > 0) then return 0 end
if on and (all >= tonumber(ARGV[10]) or different >= tonumber(ARGV[9]) and not emojis[emoji]) then
  return -3
end
local seq = tonumber(redis.call('HGET', KEYS[1], 'seq')) + 1
others[#others + 1] = {emoji, uid, ARGV[7], on and seq or -seq}
local state = cjson.encode(others)
redis.call('HSET', KEYS[7], ARGV[3], state)
append(on and ARGV[4] or ARGV[5], ARGV[3], nil, state, true)
return seq
