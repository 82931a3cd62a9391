-- Adds or removes a member's reaction to a message.
-- The reactions of a message are kept beside the stream, as a list of [emoji, user id, name, number]:
-- the number of the event that added the reaction, or, negative, of the one that removed it. Only the
-- last of each person is kept, so that the list does not grow.
-- @room
-- @include append
-- @include find_post
-- @event
-- @arg seq  number of the message
-- @arg wanted  'on', 'off', or the number up to which the person's page shows reactions: then the
--   reaction is toggled, unless the person has changed it since. So a double click, a resend and a
--   page that is out of date do no harm.
-- @arg emoji_limit  most different emoji on one message
-- @arg limit  most reactions on one message
-- Returns the number of the event; 0 when nothing is to change; -1 when there is no such message
-- for this person, -3 when the message has as many reactions as it may have.
if not redis.call('ZSCORE', KEYS.members, event.uid) then return -1 end
if not find_post(ARGV.seq) then return -1 end
local uid, emoji, wanted = event.uid, event.body, ARGV.wanted
local reactions = cjson.decode(redis.call('HGET', KEYS.reactions, ARGV.seq) or '[]')
local mine, others, emojis, all, different = 0, {}, {}, 0, 0
for _, reaction in ipairs(reactions) do
  if reaction[2] == uid and reaction[1] == emoji then
    mine = reaction[4]
  elseif reaction[2] ~= uid or reaction[4] > 0 then
    others[#others + 1] = reaction
  end
  if reaction[4] > 0 then
    all = all + 1
    if not emojis[reaction[1]] then different = different + 1 end
    emojis[reaction[1]] = true
  end
end
if wanted ~= 'on' and wanted ~= 'off' then
  if math.abs(mine) > tonumber(wanted) then return 0 end
  wanted = mine > 0 and 'off' or 'on'
end
local on = wanted == 'on'
if on == (mine > 0) then return 0 end
local is_new = different >= tonumber(ARGV.emoji_limit) and not emojis[emoji]
if on and (all >= tonumber(ARGV.limit) or is_new) then return -3 end
local seq = tonumber(redis.call('HGET', KEYS.room, 'seq')) + 1
others[#others + 1] = {emoji, uid, event.name, on and seq or -seq}
event.kind, event.number, event.extra = on and 'react' or 'unreact', ARGV.seq, cjson.encode(others)
redis.call('HSET', KEYS.reactions, ARGV.seq, event.extra)
append(event)
return seq
