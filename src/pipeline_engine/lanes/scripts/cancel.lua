-- Remove a job that has not started, with the chain behind it; a group waits for it no more. Returns whether there was one.
-- KEYS: stem. ARGV: {id, links_only = leave the job, it ended before}
local lane, ask = KEYS[1], cmsgpack.unpack(ARGV[1])
local id, found = ask.id, 0
if not ask.links_only then
  if redis.call('ZSCORE', lane .. 'active', id) then return redis.call('HDEL', lane .. 'next', id) end
  if redis.call('ZREM', lane .. 'inbox', id) == 1 then found = redis.call('DEL', 'arq:job:' .. id) end
  found = found + redis.call('HDEL', lane .. 'jobs', id)
  take_out(lane, id)
  for _, part in ipairs({'priority', 'state', 'crashes', 'parked', 'next', 'progress'}) do
    redis.call('HDEL', lane .. part, id)
  end
end
follow(lane, id, false)
return found > 0 and 1 or 0
