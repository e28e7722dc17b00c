-- Remove up to BATCH waiting or delayed jobs. Returns how many were removed; the caller repeats until it is 0.
-- KEYS: stem. ARGV: {sets = to empty}
local lane, ids = KEYS[1], {}
for _, set in ipairs(cmsgpack.unpack(ARGV[1]).sets) do
  local popped = redis.call('ZPOPMIN', lane .. set, BATCH - #ids)
  for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
end
if #ids > 0 then
  for _, part in ipairs({'jobs', 'priority', 'state', 'crashes', 'next', 'progress'}) do
    redis.call('HDEL', lane .. part, unpack(ids))
  end
  if redis.call('EXISTS', lane .. 'links') == 1 then
    for _, id in ipairs(ids) do follow(lane, id, false) end
  end
end
return #ids
