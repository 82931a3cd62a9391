-- The time by the clock that all hosts share: that of the node which has this key.
-- @key any
-- Returns seconds since 1970.
local time = redis.call('TIME')
return string.format('%.6f', tonumber(time[1]) + tonumber(time[2]) / 1000000)
