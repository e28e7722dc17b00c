-- The jobs of each lane by state, at one moment. Changes nothing.
-- KEYS: none. ARGV: {prefix, lanes = names}
-- Returns for each lane {waiting, delayed, active, parked, 1 = it is paused, ms that the oldest job in line has waited}.
-- A job that was put to the head of the line has no time of arrival: its score is 0.
local ask, answers = cmsgpack.unpack(ARGV[1]), {}

local function oldest(lane)
  local since = now_us
  for _, set in ipairs({'high', 'normal', 'low'}) do
    local first = redis.call('ZRANGEBYSCORE', lane .. set, '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if first then since = math.min(since, tonumber(first)) end
  end
  return math.floor((now_us - since) / 1000)
end

for i, name in ipairs(ask.lanes) do
  local lane = ask.prefix .. name .. ':'
  answers[i] = {
    redis.call('ZCARD', lane .. 'inbox') + waiting(lane), redis.call('ZCARD', lane .. 'delayed'),
    redis.call('ZCARD', lane .. 'active'), redis.call('HLEN', lane .. 'parked'),
    redis.call('EXISTS', lane .. 'paused'), oldest(lane),
  }
end
return answers
