-- Keep how far running jobs are. One that another worker holds by now is left out.
-- KEYS: none. ARGV: {reports = {{stem, id, token, text}, ...}}
for _, report in ipairs(cmsgpack.unpack(ARGV[1]).reports) do
  local lane, id, token, text = unpack(report)
  if redis.call('HGET', lane .. 'owners', id) == token then redis.call('HSET', lane .. 'progress', id, text) end
end
return 0
