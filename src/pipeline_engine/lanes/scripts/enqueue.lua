-- Put jobs into a lane. Returns how many were new.
-- KEYS: stem, doorbell. ARGV: {lane, sender, priority, delay, ttl (ms), duplicates}, then id, payload, id, payload, ...
--   duplicates  what becomes of a job whose id is in the lane already:
--     skip      the old one stays as it is
--     debounce  the new one takes the place of one that waits, and its delay begins now
--     latest    the new one takes the place of one that waits, at the time at which that one is due
--   While the old one runs, debounce and latest keep the newest in `next`: it starts when that run has ended.
local lane, doorbell, ask = KEYS[1], KEYS[2], cmsgpack.unpack(ARGV[1])
local delayed = ask.delay > 0
local set = lane .. (delayed and 'delayed' or ask.priority)
local due = delayed and now + ask.delay or 0

-- Sleeping workers were woken for the first job of the line; only a new first job needs another message.
local function is_news()
  if not delayed then return waiting(lane) == 0 end
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  return not first or tonumber(first) > now + ask.delay
end

local news, entries, marks, new = is_news(), {}, {}, 0

-- Returns whether the id must be put into a set.
local function replace(id, payload)
  if redis.call('ZSCORE', lane .. 'active', id) then
    new = new + redis.call('HSET', lane .. 'next', id, cmsgpack.pack({payload, due, ask.priority}))
    return false
  end
  redis.call('HSET', lane .. 'jobs', id, payload)
  redis.call('HDEL', lane .. 'state', id)
  local parked = redis.call('HDEL', lane .. 'parked', id) == 1
  if ask.duplicates == 'latest' and not parked then return false end
  take_out(lane, id)
  redis.call('HDEL', lane .. 'priority', id)
  return true
end

local function take(id, payload)
  if redis.call('HSETNX', lane .. 'jobs', id, payload) == 0 then
    return ask.duplicates ~= 'skip' and replace(id, payload)
  end
  new = new + 1
  return true
end

for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if take(id, ARGV[i + 1]) then
    entries[#entries + 1] = delayed and due or now_us + #entries
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
  if news then redis.call('PUBLISH', doorbell, ask.sender .. ' ' .. ask.lane) end
end
touch(lane, ask.ttl)
return new
