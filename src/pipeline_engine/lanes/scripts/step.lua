-- One round trip of a worker: settle what it finished, take up to `places` new jobs, say when to come again.
-- KEYS: stem.
-- ARGV: places, token, lease ms, turn, rate jobs, rate window ms, ttl ms, k, then k lost tokens,
--       then id, token, back, state for every finished job:
--         back   '' = gone for good, 'first' = head of the line, '?f' = until somebody knows the function f,
--                else ms from now (0 = end of the line)
--         state  '' = as it is, else what to remember for the next attempt
-- Returns: turn, ms until something is due (-1 = nothing), finished jobs that others held by then,
--          then id, payload, state, crashes for every job taken.
local lane, places, token, lease, turn = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local rate, window, ttl, lost = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

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

local function finish(first)
  local ids = {}
  for i = first, #ARGV, 4 do ids[#ids + 1] = ARGV[i] end
  if #ids == 0 then return 0 end
  local owners = redis.call('HMGET', lane .. 'owners', unpack(ids))
  local ended, gone = {}, {}
  for k, id in ipairs(ids) do
    local i = first + (k - 1) * 4
    local back, state = ARGV[i + 2], ARGV[i + 3]
    if owners[k] == ARGV[i + 1] then
      ended[#ended + 1] = id
      if state ~= '' then redis.call('HSET', lane .. 'state', id, state) end
      if back == '' then gone[#gone + 1] = id else put_back(id, back) end
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
  end
  return #ids - #ended
end

-- Claims whose answer never arrived: nobody runs them, so they go back at once and it is no crash.
local function disown(first, last)
  if last < first then return end
  local tokens = {}
  for i = first, last do tokens[ARGV[i]] = true end
  local owners = redis.call('HGETALL', lane .. 'owners')
  for i = 1, #owners, 2 do
    if tokens[owners[i + 1]] then
      redis.call('HDEL', lane .. 'owners', owners[i])
      redis.call('ZREM', lane .. 'active', owners[i])
      put_first(lane, owners[i])
    end
  end
end

-- How many may start by the rate, and in how many ms one more may.
local function allowance()
  local starts = redis.call('LRANGE', lane .. 'rate', 0, rate - 1)
  local used = 0
  for _, at in ipairs(starts) do
    if tonumber(at) > now - window then used = used + 1 end
  end
  if used < rate then return rate - used, 0 end
  return 0, starts[rate] + window - now
end

local function spend(n)
  local at = {}
  for i = 1, n do at[i] = now end
  redis.call('LPUSH', lane .. 'rate', unpack(at))
  redis.call('LTRIM', lane .. 'rate', 0, rate - 1)
  redis.call('PEXPIRE', lane .. 'rate', math.ceil(window))
end

-- Take n ids, 8 high to 4 normal to 1 low while several sets hold some.
local function pop(n)
  local have, share, ids = {}, {0, 0, 0}, {}
  for s, set in ipairs(SETS) do have[s] = redis.call('ZCARD', lane .. set) end
  n = math.min(n, have[1] + have[2] + have[3])
  for _ = 1, n do
    turn = turn % #TURNS + 1
    local s = TURNS[turn]
    if have[s] == 0 then s = have[1] > 0 and 1 or have[2] > 0 and 2 or 3 end
    have[s] = have[s] - 1
    share[s] = share[s] + 1
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

local function claim(n, reply)
  local ids = pop(n)
  if #ids == 0 then return 0 end
  local leases, owners = {}, {}
  for i, id in ipairs(ids) do
    leases[2 * i - 1], leases[2 * i] = now + lease, id
    owners[2 * i - 1], owners[2 * i] = id, token
  end
  redis.call('ZADD', lane .. 'active', unpack(leases))
  redis.call('HSET', lane .. 'owners', unpack(owners))
  local payloads = redis.call('HMGET', lane .. 'jobs', unpack(ids))
  local states, crashes = remembered('state', ids), remembered('crashes', ids)
  for i, id in ipairs(ids) do
    reply[#reply + 1] = id
    reply[#reply + 1] = payloads[i] or ''
    reply[#reply + 1] = states[i] or ''
    reply[#reply + 1] = crashes[i] or '0'
  end
  return #ids
end

local late = finish(9 + lost)
disown(9, 8 + lost)
adopt(lane)
promote(lane)

local reply, wait = {0, -1, late}, -1
if places > 0 and redis.call('EXISTS', lane .. 'paused') == 0 then
  local allowed = rate > 0 and allowance() or places
  local taken = claim(math.min(places, allowed), reply)
  if rate > 0 and taken > 0 then spend(taken) end
  if taken < places and waiting(lane) > 0 then
    local _, again = allowance()
    wait = math.max(again, 1)
  end
end
local due = redis.call('ZRANGE', lane .. 'delayed', 0, 0, 'WITHSCORES')[2]
if due then
  local ms = math.max(due - now, 0)
  if wait < 0 or ms < wait then wait = ms end
end
touch(lane, ttl)
reply[1], reply[2] = turn, math.ceil(wait)
return reply
