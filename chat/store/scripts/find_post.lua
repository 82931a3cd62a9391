-- find_post(seq): the stored event of message `seq` and its time; nil where there is no such message.
local function find_post(seq)
  local entry = redis.call('XRANGE', KEYS.events, seq .. '-0', seq .. '-0')[1]
  local post = entry and cjson.decode(entry[2][4])
  if post and post[FIELD.kind] == CONST.POST then return post, entry[2][2] end
end
