-- One round trip of a worker: settle the jobs it finished, claim up to `places` new ones, return when more are due.
-- KEYS: stem. ARGV: {
--   places, token, lease, turn,    free places, name of this claim, ms, position in TURNS
--   rate, window, ttl,             the lane's rate (0 = none), its window in ms; ms that keys live (0 = for ever)
--   lost,                          tokens of claims whose answer never arrived
--   finished = {{id, token, back, state}, ...}
--     back   '' = it is done, 'dead' = remove it but keep its links for a retry by hand, 'first' = head of the line,
--            '?f' = park it until a daemon knows the function f, else ms from now (0 = end of the line)
--     state  '' = unchanged, else the retry state that the next attempt gets
-- }
-- Returns {turn, ms until a job is due (-1 = none), finished jobs whose claim another worker held by then,
--          {{id, payload, state, crashes}, ...}, ids without a job that were removed}.
local lane, ask = KEYS[1], cmsgpack.unpack(ARGV[1])

local MAX_STRAYS = 2000     -- removed in one call
local SETS = {'high', 'normal', 'low'}
local TURNS = {1, 1, 2, 1, 1, 2, 1, 1, 3, 1, 1, 2, 2}  -- 8 : 4 : 1

local function put_back(id, back)
  if back == 'first' then
    put_first(lane, id)
  elseif back == '0' then
    line_up(lane, {id})
  elseif back:sub(1, 1) == '?' then
    redis.call('HSET', lane .. 'parked', id, back:sub(2))
  else
    redis.call('ZADD', lane .. 'delayed', now + back, id)
  end
end

-- A newer job of the id was enqueued during the run: it takes the place of the one that ran, whatever became of that.
local function start_newer(id)
  local packed = redis.call('HGET', lane .. 'next', id)
  if not packed then return false end
  redis.call('HDEL', lane .. 'next', id)
  local ok, newer = pcall(cmsgpack.unpack, packed)
  local payload, due, priority = unpack(ok and type(newer) == 'table' and newer or {})
  if type(payload) ~= 'string' then return false end
  redis.call('HSET', lane .. 'jobs', id, payload)
  redis.call('HDEL', lane .. 'state', id)
  redis.call('HDEL', lane .. 'progress', id)
  redis.call('HSET', lane .. 'priority', id, tostring(priority))
  put_back(id, tostring(math.max((tonumber(due) or 0) - now, 0)))
  return true
end

local function finish(jobs)
  if #jobs == 0 then return 0 end
  local ids, ended, gone, done = {}, {}, {}, {}
  local has_newer = redis.call('EXISTS', lane .. 'next') == 1
  for i, job in ipairs(jobs) do ids[i] = job[1] end
  local owners = redis.call('HMGET', lane .. 'owners', unpack(ids))
  for i, job in ipairs(jobs) do
    local id, token, back, state = unpack(job)
    if owners[i] == token then
      ended[#ended + 1] = id
      if back == '' then done[#done + 1] = id end
      if has_newer and start_newer(id) then
        -- what this run says about the next attempt is out of date
      elseif back == '' or back == 'dead' then
        gone[#gone + 1] = id
      else
        if state ~= '' then redis.call('HSET', lane .. 'state', id, state) end
        put_back(id, back)
      end
    end
  end
  if #ended > 0 then
    redis.call('ZREM', lane .. 'active', unpack(ended))
    redis.call('HDEL', lane .. 'owners', unpack(ended))
    redis.call('HDEL', lane .. 'crashes', unpack(ended))
  end
  if #gone > 0 then
    redis.call('HDEL', lane .. 'jobs', unpack(gone))
    redis.call('HDEL', lane .. 'state', unpack(gone))
    redis.call('HDEL', lane .. 'priority', unpack(gone))
    redis.call('HDEL', lane .. 'progress', unpack(gone))
  end
  if #done > 0 and redis.call('EXISTS', lane .. 'links') == 1 then
    for _, id in ipairs(done) do follow(lane, id, true) end
  end
  return #jobs - #ended
end

-- The worker never learned what it claimed under these tokens, so those jobs do not run: they go back at once, and that
-- is no crash.
local function disown(tokens)
  if #tokens == 0 then return end
  local lost, owners = {}, redis.call('HGETALL', lane .. 'owners')
  for _, token in ipairs(tokens) do lost[token] = true end
  for i = 1, #owners, 2 do
    if lost[owners[i + 1]] then
      redis.call('HDEL', lane .. 'owners', owners[i])
      redis.call('ZREM', lane .. 'active', owners[i])
      put_first(lane, owners[i])
    end
  end
end

-- How many jobs may start by the rate, and, if none, in how many ms one may. Times are whole ms: only a start that is
-- more than `window` ms ago is certainly outside the window.
local function rate_left()
  local starts, used = redis.call('LRANGE', lane .. 'rate', 0, ask.rate - 1), 0
  for _, at in ipairs(starts) do
    if (tonumber(at) or 0) >= now - ask.window then used = used + 1 end
  end
  if used < ask.rate then return ask.rate - used, 0 end
  return 0, (tonumber(starts[ask.rate]) or now) + ask.window + 1 - now
end

local function record_starts(n)
  local starts = {}
  for i = 1, n do starts[i] = now end
  redis.call('LPUSH', lane .. 'rate', unpack(starts))
  redis.call('LTRIM', lane .. 'rate', 0, ask.rate - 1)
  redis.call('PEXPIRE', lane .. 'rate', ask.window + 1)
end

-- Take n ids: 8 high to 4 normal to 1 low while these sets hold ids.
local function pop(n)
  local have, share, ids = {}, {0, 0, 0}, {}
  for s, set in ipairs(SETS) do have[s] = redis.call('ZCARD', lane .. set) end
  for _ = 1, math.min(n, have[1] + have[2] + have[3]) do
    ask.turn = ask.turn % #TURNS + 1
    local s = TURNS[ask.turn]
    if have[s] == 0 then s = have[1] > 0 and 1 or have[2] > 0 and 2 or 3 end
    have[s], share[s] = have[s] - 1, share[s] + 1
  end
  for s, set in ipairs(SETS) do
    if share[s] > 0 then
      local popped = redis.call('ZPOPMIN', lane .. set, share[s])
      for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
    end
  end
  return ids
end

local function remembered(part, ids)
  if redis.call('EXISTS', lane .. part) == 0 then return {} end
  return redis.call('HMGET', lane .. part, unpack(ids))
end

-- Ids that have no job were planted by others; they take no place.
local strays = 0

local function pop_jobs(n)
  local ids, payloads = {}, {}
  repeat
    local popped = pop(n - #ids)
    local found = #popped > 0 and redis.call('HMGET', lane .. 'jobs', unpack(popped)) or {}
    local gone = {}
    for i, id in ipairs(popped) do
      if found[i] then
        ids[#ids + 1], payloads[#payloads + 1] = id, found[i]
      else
        gone[#gone + 1] = id
      end
    end
    strays = strays + #gone
    if #gone > 0 then redis.call('HDEL', lane .. 'priority', unpack(gone)) end
  until #ids == n or #popped == 0 or strays >= MAX_STRAYS
  return ids, payloads
end

local function claim(n)
  local jobs, leases, owners = {}, {}, {}
  local ids, payloads = pop_jobs(n)
  if #ids == 0 then return jobs end
  for i, id in ipairs(ids) do
    leases[2 * i - 1], leases[2 * i] = now + ask.lease, id
    owners[2 * i - 1], owners[2 * i] = id, ask.token
  end
  redis.call('ZADD', lane .. 'active', unpack(leases))
  redis.call('HSET', lane .. 'owners', unpack(owners))
  local states, crashes = remembered('state', ids), remembered('crashes', ids)
  for i, id in ipairs(ids) do jobs[i] = {id, payloads[i], states[i] or '', crashes[i] or '0'} end
  return jobs
end

local late = finish(ask.finished)
disown(ask.lost)
adopt(lane)
promote(lane)

local jobs, wait = {}, nil
if ask.places > 0 and redis.call('EXISTS', lane .. 'paused') == 0 then
  jobs = claim(math.min(ask.places, ask.rate > 0 and rate_left() or ask.places))
  if ask.rate > 0 and #jobs > 0 then record_starts(#jobs) end
  if #jobs < ask.places and waiting(lane) > 0 then  -- the rate holds them back, or strays were in the way
    local again = 1
    if ask.rate > 0 then again = select(2, rate_left()) end
    wait = math.max(again, 1)
  end
end
local due = redis.call('ZRANGE', lane .. 'delayed', 0, 0, 'WITHSCORES')[2]
if due then wait = math.min(wait or math.huge, math.max(due - now, 0)) end
touch(lane, ask.ttl)
return {ask.turn, wait or -1, late, jobs, strays}
