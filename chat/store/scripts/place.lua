-- A room that was put together beside its place is put into it.
-- KEYS: as append.lua, then the same but the first as they were put together
-- ARGV: channel, number of the room's newest event as it was ('' for no room), until when it is
-- kept (ms, '' for good), its fields and values...
-- Returns 1; 0, and nothing has changed, when the room is another than it was.
if (redis.call('HGET', KEYS[1], 'seq') or '') ~= ARGV[2] then return 0 end
for n = 2, 11 do
  local made = KEYS[n + 10]
  if redis.call('EXISTS', made) == 1 then
    redis.call('RENAME', made, KEYS[n])
    redis.call('PERSIST', KEYS[n])
  elseif n ~= 5 then
    redis.call('DEL', KEYS[n])
  end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] ~= '' then
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
  redis.call('PEXPIREAT', KEYS[2], ARGV[3])
  redis.call('PEXPIREAT', KEYS[9], ARGV[3])
end
-- The room's last line is not its newest event where that is quiet, and what is told of a quiet
-- event is more than what is kept of it: who listens reads it from the stream.
redis.call('SPUBLISH', ARGV[1], '~new')
return 1
