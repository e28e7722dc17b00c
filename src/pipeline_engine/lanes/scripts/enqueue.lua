-- Put jobs into a lane; an id that is waiting or running already is left as it is. Returns how many were new.
-- KEYS: stem, doorbell. ARGV: lane, sender, priority, delay ms, ttl ms, then id, payload, id, payload, ...
local lane, doorbell = KEYS[1], KEYS[2]
local name, sender, priority, delay, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local set, score = lane .. priority, now_us
if delay > 0 then
  set, score = lane .. 'delayed', now + delay
end

-- Who waits for this lane has been told when the first job came; only a new first job is news.
local news
if delay > 0 then
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  news = not first[2] or tonumber(first[2]) > score
else
  news = waiting(lane) == 0
end

local entries, marks = {}, {}
for i = 6, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('HSETNX', lane .. 'jobs', id, ARGV[i + 1]) == 1 then
    entries[#entries + 1] = delay > 0 and score or score + #entries
    entries[#entries + 1] = id
    if priority ~= 'normal' then
      marks[#marks + 1] = id
      marks[#marks + 1] = priority
    end
  end
end

if #entries > 0 then
  redis.call('ZADD', set, unpack(entries))
  if #marks > 0 then redis.call('HSET', lane .. 'priority', unpack(marks)) end
  touch(lane, ttl)
  if news then redis.call('PUBLISH', doorbell, sender .. ' ' .. name) end
end
return #entries / 2
