-- The safety net, one call for all lanes: adopt, unpark, promote, reap. Returns ms until the first lease ends (-1 =
-- nothing runs), then the names of the lanes with something ready.
-- KEYS: none. ARGV: prefix, 1 to reap or 0, ttl ms, number of functions, their names, then lane names.
local prefix, reaping, ttl, functions = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), tonumber(ARGV[4])
local known = {}
for i = 5, 4 + functions do known[ARGV[i]] = true end

local function unpark(lane)
  local parked = redis.call('HGETALL', lane .. 'parked')
  for i = 1, #parked, 2 do
    if known[parked[i + 1]] then
      redis.call('HDEL', lane .. 'parked', parked[i])
      put_first(lane, parked[i])
    end
  end
end

local reply, soonest = {-1}, nil
for i = 5 + functions, #ARGV do
  local lane = prefix .. ARGV[i] .. ':'
  adopt(lane)
  unpark(lane)
  promote(lane)
  if reaping then reap(lane) end
  touch(lane, ttl)
  if waiting(lane) > 0 and redis.call('EXISTS', lane .. 'paused') == 0 then reply[#reply + 1] = ARGV[i] end
  local first = redis.call('ZRANGE', lane .. 'active', 0, 0, 'WITHSCORES')[2]
  if first and (not soonest or first - now < soonest) then soonest = math.max(first - now, 0) end
end
reply[1] = soonest or -1
return reply
