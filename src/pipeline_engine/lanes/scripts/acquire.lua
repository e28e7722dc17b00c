-- Grant units of a limit that holds in every window. Returns {granted, ms until more may be granted}.
-- KEYS: zset of grants, "<count>:<id>" by ms. ARGV: {id = unique per call, wanted, limit, window = ms}
local key, ask, used = KEYS[1], cmsgpack.unpack(ARGV[1]), 0
local kind = redis.call('TYPE', key).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
-- Times are whole ms. Only a grant that is more than `window` ms old is certainly outside the window.
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. now - ask.window)
local grants = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
for i = 1, #grants, 2 do used = used + (tonumber(string.match(grants[i], '^%d+') or 0) or 0) end
local granted = math.max(0, math.min(ask.wanted, ask.limit - used))
if granted > 0 then
  redis.call('ZADD', key, now, granted .. ':' .. ask.id)
  redis.call('PEXPIRE', key, ask.window + 1000)
end
local oldest = tonumber(grants[2]) or now
return {granted, oldest + ask.window + 1 - now}
