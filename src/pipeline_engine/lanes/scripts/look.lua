-- The safety net, one call for all lanes: adopt arq's jobs, unpark known ones, promote due ones, reap expired leases.
-- KEYS: none. ARGV: {prefix, reap (true or false), ttl (ms), functions = known names, lanes = names}
-- Returns {ms until the first lease ends (-1 = no job runs), names of the lanes with a ready job}.
local ask, known = cmsgpack.unpack(ARGV[1]), {}
for _, name in ipairs(ask.functions) do known[name] = true end

local function unpark(lane)
  local parked = redis.call('HGETALL', lane .. 'parked')
  for i = 1, #parked, 2 do
    if known[parked[i + 1]] then
      redis.call('HDEL', lane .. 'parked', parked[i])
      put_first(lane, parked[i])
    end
  end
end

-- A write that changes nothing: a server that has become a replica refuses it, so that daemons notice while they idle.
redis.call('DEL', ask.prefix .. 'looked')

local ready, soonest = {}, nil
for _, name in ipairs(ask.lanes) do
  local lane = ask.prefix .. name .. ':'
  adopt(lane)
  unpark(lane)
  promote(lane)
  if ask.reap then reap(lane) end
  touch(lane, ask.ttl)
  if waiting(lane) > 0 and redis.call('EXISTS', lane .. 'paused') == 0 then ready[#ready + 1] = name end
  local ends = redis.call('ZRANGE', lane .. 'active', 0, 0, 'WITHSCORES')[2]
  if ends then soonest = math.min(soonest or math.huge, math.max(ends - now, 0)) end
end
return {soonest or -1, ready}
