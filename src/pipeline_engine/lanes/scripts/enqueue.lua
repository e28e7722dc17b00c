-- Put jobs into a lane; a job whose id is waiting or running there is left unchanged. Returns how many were new.
-- KEYS: stem, doorbell. ARGV: {lane, sender, priority, delay, ttl} (ms), then id, payload, id, payload, ...
local lane, doorbell, ask = KEYS[1], KEYS[2], cmsgpack.unpack(ARGV[1])
local delayed = ask.delay > 0
local set = lane .. (delayed and 'delayed' or ask.priority)

-- Sleeping workers were woken for the first job of the line; only a new first job needs another message.
local function is_news()
  if not delayed then return waiting(lane) == 0 end
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  return not first or tonumber(first) > now + ask.delay
end

local news, entries, marks = is_news(), {}, {}
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('HSETNX', lane .. 'jobs', id, ARGV[i + 1]) == 1 then
    entries[#entries + 1] = delayed and now + ask.delay or now_us + #entries
    entries[#entries + 1] = id
    if ask.priority ~= 'normal' then
      marks[#marks + 1] = id
      marks[#marks + 1] = ask.priority
    end
  end
end

if #entries > 0 then
  redis.call('ZADD', set, unpack(entries))
  if #marks > 0 then redis.call('HSET', lane .. 'priority', unpack(marks)) end
  touch(lane, ask.ttl)
  if news then redis.call('PUBLISH', doorbell, ask.sender .. ' ' .. ask.lane) end
end
return #entries / 2
