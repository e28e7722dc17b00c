-- Start the first job of a chain; each other one starts when the one before it is done. Returns 1 when the first is new.
-- KEYS: none. ARGV: {jobs = {{stem, lane, id, priority, doorbell, ttl}, ...}}, then their payloads
local steps = cmsgpack.unpack(ARGV[1]).jobs
for i, job in ipairs(steps) do job.payload = ARGV[i + 1] end
local first = table.remove(steps, 1)
return start(first, #steps > 0 and {{steps = steps}} or {})
