-- Push on the leases of running jobs. Returns how many of them others hold by now.
-- KEYS: none. ARGV: {lease (ms), held = {{stem, id, token}, ...}}
local ask, lost = cmsgpack.unpack(ARGV[1]), 0
for _, job in ipairs(ask.held) do
  local lane, id, token = unpack(job)
  if redis.call('HGET', lane .. 'owners', id) == token then
    redis.call('ZADD', lane .. 'active', now + ask.lease, id)
  else
    lost = lost + 1
  end
end
return lost
