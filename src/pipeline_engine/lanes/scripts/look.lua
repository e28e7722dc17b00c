-- The safety net, one call for all lanes: adopt arq's jobs, unpark known ones, promote due ones, reap expired leases.
-- KEYS: none. ARGV: {prefix, reap (true or false), ttl (ms), functions = known names, lanes = names}
-- Returns {ms until the first lease ends (-1 = no job runs), names of the lanes with a ready job,
--          stems of the lanes whose keys others have tampered with}.
local ask, known = cmsgpack.unpack(ARGV[1]), {}
for _, name in ipairs(ask.functions) do known[name] = true end

local function unpark(lane)
  local key = lane .. 'parked'
  local many = redis.call('HLEN', key) > 10 * BATCH
  local parked = many and redis.call('HRANDFIELD', key, BATCH, 'WITHVALUES') or redis.call('HGETALL', key)
  for i = 1, #parked, 2 do
    if known[parked[i + 1]] then
      redis.call('HDEL', lane .. 'parked', parked[i])
      put_first(lane, parked[i])
    end
  end
end

-- A write that changes nothing: a server that has become a replica refuses it, so that daemons notice while they idle.
redis.call('DEL', ask.prefix .. 'looked')

local ready, tampered, soonest = {}, {}, nil

local function look(name, lane)
  adopt(lane)
  unpark(lane)
  promote(lane)
  if ask.reap then reap(lane) end
  touch(lane, ask.ttl)
  if waiting(lane) > 0 and redis.call('EXISTS', lane .. 'paused') == 0 then ready[#ready + 1] = name end
  local ends = redis.call('ZRANGE', lane .. 'active', 0, 0, 'WITHSCORES')[2]
  if ends then soonest = math.min(soonest or math.huge, math.max(ends - now, 0)) end
end

for _, name in ipairs(ask.lanes) do
  local lane = ask.prefix .. name .. ':'
  local ok, failure = pcall(look, name, lane)
  if not ok then
    local text = type(failure) == 'table' and failure.err or tostring(failure)
    if not string.find(text, 'WRONGTYPE', 1, true) then error(failure) end
    tampered[#tampered + 1] = lane
  end
end
return {soonest or -1, ready, tampered}
