-- Precedes every script: server time, and the moves between the sets of one lane. `lane` is a stem, "pe:orders:".

local BATCH = 500           -- ids moved at once; unpack() takes a few thousand at most
local CRASH_GAP = 1000      -- ms between the restarts of jobs that crashed twice or more

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

local function ready_set(lane, id)
  local priority = redis.call('HGET', lane .. 'priority', id)
  return lane .. ((priority == 'high' or priority == 'low') and priority or 'normal')
end

local function line_up(lane, ids)
  for i, id in ipairs(ids) do
    redis.call('ZADD', ready_set(lane, id), now_us + i, id)
  end
end

local function put_first(lane, id)
  redis.call('ZADD', ready_set(lane, id), 0, id)
end

local function waiting(lane)
  return redis.call('ZCARD', lane .. 'high') + redis.call('ZCARD', lane .. 'normal') + redis.call('ZCARD', lane .. 'low')
end

-- Take over a job that arq's own client enqueued. An expired payload is adopted empty, and the runner refuses it.
-- Returns whether it may start at once.
local function adopt_job(lane, id, due)
  local payload = redis.pcall('GET', 'arq:job:' .. id)
  if type(payload) ~= 'string' then payload = '' end
  redis.call('DEL', 'arq:job:' .. id)
  redis.call('ZREM', lane .. 'inbox', id)
  if redis.call('HSETNX', lane .. 'jobs', id, payload) == 0 then return false end
  if due > now then redis.call('ZADD', lane .. 'delayed', due, id) end
  return due <= now
end

-- One whose id is running stays in the inbox until that run has ended: a run that has begun may have read the data
-- before the client changed it.
local function adopt(lane)
  local entries = redis.call('ZRANGE', lane .. 'inbox', 0, BATCH - 1, 'WITHSCORES')
  local ready = {}
  for i = 1, #entries, 2 do
    local id = entries[i]
    local runs = redis.call('ZSCORE', lane .. 'active', id)
    if not runs and adopt_job(lane, id, tonumber(entries[i + 1])) then ready[#ready + 1] = id end
  end
  line_up(lane, ready)
end

local function promote(lane)
  local due = redis.call('ZRANGEBYSCORE', lane .. 'delayed', '-inf', now, 'LIMIT', 0, BATCH)
  if #due > 0 then
    redis.call('ZREM', lane .. 'delayed', unpack(due))
    line_up(lane, due)
  end
end

-- What stands there may have been written by others and be no number.
local function count_crash(lane, id)
  local count = redis.pcall('HINCRBY', lane .. 'crashes', id, 1)
  if type(count) == 'number' then return count end
  redis.call('HSET', lane .. 'crashes', id, 1)
  return 1
end

-- An expired lease means that the process is gone. Its jobs restart at once after a first crash; from the second crash
-- on they restart one by one, so that a job that kills its process does not kill its neighbours too.
local function reap(lane)
  for i, id in ipairs(redis.call('ZRANGEBYSCORE', lane .. 'active', '-inf', now, 'LIMIT', 0, BATCH)) do
    redis.call('ZREM', lane .. 'active', id)
    redis.call('HDEL', lane .. 'owners', id)
    if count_crash(lane, id) == 1 then
      put_first(lane, id)
    else
      redis.call('ZADD', lane .. 'delayed', now + i * CRASH_GAP, id)
    end
  end
end

local function touch(lane, ttl)
  if ttl == 0 then return end
  for _, part in ipairs({'inbox', 'jobs', 'high', 'normal', 'low', 'priority', 'delayed', 'active', 'owners', 'parked',
                         'state', 'crashes', 'rate', 'paused', 'next', 'links', 'progress'}) do
    redis.call('PEXPIRE', lane .. part, ttl)
  end
end

-- A link says what follows a job: {steps = jobs of a chain that come after it} or {group = key that waits for it}.
-- A job is {stem, lane, id, priority, doorbell, ttl, payload}.
local function take_links(lane, id)
  local packed = redis.call('HGET', lane .. 'links', id)
  if not packed then return {} end
  redis.call('HDEL', lane .. 'links', id)
  local ok, links = pcall(cmsgpack.unpack, packed)
  return ok and type(links) == 'table' and links or {}
end

-- Enqueue a job and say what follows it. A job that waits or runs already is not enqueued again, but has the links too.
-- Returns 1 when it is new.
local function start(job, links)
  local new = redis.call('HSETNX', job.stem .. 'jobs', job.id, job.payload)
  if new == 1 then
    if job.priority ~= 'normal' then redis.call('HSET', job.stem .. 'priority', job.id, job.priority) end
    line_up(job.stem, {job.id})
    redis.call('PUBLISH', job.doorbell, '- ' .. job.lane)
  end
  if #links > 0 then
    local all = take_links(job.stem, job.id)
    for _, link in ipairs(links) do all[#all + 1] = link end
    redis.call('HSET', job.stem .. 'links', job.id, cmsgpack.pack(all))
  end
  touch(job.stem, job.ttl)
  return new
end

-- A member of a group has ended. The field '' is the final job, which starts when it is the only one left.
local function leave(group, member)
  if redis.call('HDEL', group, member) == 0 or redis.call('HLEN', group) > 1 then return end
  local final = redis.call('HGET', group, '')
  redis.call('DEL', group)
  if final then start(cmsgpack.unpack(final), {}) end
end

-- A job has ended: groups wait for it no more and, when it is done, the next job of each chain starts.
local function follow(lane, id, done)
  for _, link in ipairs(take_links(lane, id)) do
    pcall(function()  -- a link that others wrote harms no job
      if link.group then leave(link.group, lane .. id) end
      if link.steps and done then
        local job = table.remove(link.steps, 1)
        start(job, #link.steps > 0 and {link} or {})
      end
    end)
  end
end

local function take_out(lane, id)
  for _, set in ipairs({'high', 'normal', 'low', 'delayed'}) do redis.call('ZREM', lane .. set, id) end
end
