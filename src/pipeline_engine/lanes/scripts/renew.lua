-- Extend the leases of running jobs. Returns how many of these jobs another worker holds now.
-- KEYS: none. ARGV: {lease (ms), held = {{stem, id, token}, ...}}
local ask, lost = cmsgpack.unpack(ARGV[1]), 0
for _, job in ipairs(ask.held) do
  local lane, id, token = unpack(job)
  local holder = redis.call('HGET', lane .. 'owners', id)
  if holder == token then
    redis.call('ZADD', lane .. 'active', now + ask.lease, id)
  elseif holder then -- without a holder, the job has just ended or Redis was emptied
    lost = lost + 1
  end
end
return lost
