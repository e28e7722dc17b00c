-- Set aside the keys of a lane that hold another type than the scripts expect. Returns their new names.
-- KEYS: stem. ARGV: {kept = ms for which they stay under the new name}
local lane, ask, aside = KEYS[1], cmsgpack.unpack(ARGV[1]), {}
local TYPES = {inbox = 'zset', jobs = 'hash', high = 'zset', normal = 'zset', low = 'zset', priority = 'hash',
               delayed = 'zset', active = 'zset', owners = 'hash', parked = 'hash', state = 'hash', crashes = 'hash',
               rate = 'list', next = 'hash', links = 'hash', progress = 'hash'}
for part, expected in pairs(TYPES) do
  local found = redis.call('TYPE', lane .. part).ok
  if found ~= 'none' and found ~= expected then
    local name = lane .. 'set_aside:' .. part
    redis.call('RENAME', lane .. part, name)
    redis.call('PEXPIRE', name, ask.kept)
    aside[#aside + 1] = name
  end
end

-- A call that broke off may have taken a job out of one set and put it into none.
local function is_nowhere(id)
  for _, set in ipairs({'high', 'normal', 'low', 'delayed', 'active'}) do
    if redis.call('ZSCORE', lane .. set, id) then return false end
  end
  return redis.call('HEXISTS', lane .. 'parked', id) == 0
end

if #aside > 0 then
  for _, id in ipairs(redis.call('ZRANGE', lane .. 'active', 0, -1)) do
    if redis.call('HEXISTS', lane .. 'owners', id) == 0 then
      redis.call('ZREM', lane .. 'active', id)
      put_first(lane, id)
    end
  end
  for _, id in ipairs(redis.call('HKEYS', lane .. 'jobs')) do
    if is_nowhere(id) then line_up(lane, {id}) end
  end
end
return aside
