-- Enqueue jobs of a group, whose final job starts when all of them have ended. Returns how many were new.
-- A large group comes in several calls; the field '+' keeps it open until the last one.
-- KEYS: group. ARGV: {jobs = {{stem, lane, id, priority, doorbell, ttl}, ...}, final = a job or false, last, ttl (ms)},
-- then the payloads of the jobs, then that of the final one
local group, ask, new = KEYS[1], cmsgpack.unpack(ARGV[1]), 0
if ask.final then
  ask.final.payload = ARGV[#ARGV]
  redis.call('HSET', group, '', cmsgpack.pack(ask.final), '+', 1)
end
for i, job in ipairs(ask.jobs) do
  job.payload = ARGV[i + 1]
  redis.call('HSET', group, job.stem .. job.id, 1)
  new = new + start(job, {{group = group}})
end
if ask.ttl > 0 then redis.call('PEXPIRE', group, ask.ttl) end
if ask.last then leave(group, '+') end
return new
