-- Push on the leases of running jobs. Returns lane, id, lane, id, ... of those that others hold by now.
-- KEYS: none. ARGV: lease ms, then stem, id, token for every running job.
local ends, lost = now + ARGV[1], {}
for i = 2, #ARGV, 3 do
  local lane, id = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', lane .. 'owners', id) == ARGV[i + 2] then
    redis.call('ZADD', lane .. 'active', ends, id)
  else
    lost[#lost + 1] = lane
    lost[#lost + 1] = id
  end
end
return lost
