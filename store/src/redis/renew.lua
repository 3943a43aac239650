#!lua flags=allow-oom
-- Lets the lease start anew, if it is still the caller's and in flight. The lease is judged by the remaining expiry, so
-- the bytes stay as they are. The record's own retention counts, whatever its caller is configured with.
-- KEYS[1] the record; ARGV[1] fence and owner as they stand in it. Returns 1, or 0 if the key is not the caller's.
local head = redis.call('GETRANGE', KEYS[1], '0', '55')
if #head < 56 or head:byte(9) ~= 1 or head:byte(10) ~= 1 or head:sub(17, 24) .. head:sub(41, 56) ~= ARGV[1] then
  return 0
end
local retention = 0
for at = 33, 40 do
  retention = retention * 256 + head:byte(at)
end
return redis.call('PEXPIRE', KEYS[1], string.format('%.0f', retention))
