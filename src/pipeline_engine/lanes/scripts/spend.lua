-- Take from what may be spent in any window. Returns {granted, ms until the next may be had}.
-- KEYS: zset of grants, "<count>:<us>" by ms. ARGV: {wanted, limit, window = ms}
local key, ask, spent = KEYS[1], cmsgpack.unpack(ARGV[1]), 0
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - ask.window)
local grants = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
for i = 1, #grants, 2 do spent = spent + tonumber(string.match(grants[i], '^%d+')) end
local granted = math.max(0, math.min(ask.wanted, ask.limit - spent))
if granted > 0 then
  redis.call('ZADD', key, now, granted .. ':' .. now_us)
  redis.call('PEXPIRE', key, ask.window + 1000)
end
return {granted, math.max(1, (tonumber(grants[2]) or now) + ask.window - now)}
