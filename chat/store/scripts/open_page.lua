-- Counts one more open page of a person or an address, or asks whether there may be one more.
-- @key pages  open pages by process
-- @arg limit  most pages
-- @arg process  the process that opens the page
-- @arg count  its open pages, with this one
-- @arg ask_only  '1' to change nothing
-- @rest others  the other processes that are alive
-- Returns 1, or 0 when there would be too many; then nothing is changed.
local pages = tonumber(ARGV.count)
for n = REST.others, #ARGV do
  pages = pages + tonumber(redis.call('HGET', KEYS.pages, ARGV[n]) or 0)
end
if pages > tonumber(ARGV.limit) then return 0 end
if ARGV.ask_only == '1' then return 1 end
redis.call('HSET', KEYS.pages, ARGV.process, ARGV.count)
redis.call('EXPIRE', KEYS.pages, 86400)
return 1
