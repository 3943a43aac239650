#!lua flags=allow-oom
-- Records the answer, if the key is still the caller's and in flight or indeterminate. The effect has already happened,
-- so a server that is out of memory takes it all the same.
-- KEYS[1] the record; ARGV[1] fence and owner as they stand in it, ARGV[2] the new bytes, ARGV[3] their life in
-- milliseconds.
local head = redis.call('GETRANGE', KEYS[1], 0, 55)
if #head < 56 or head:byte(9) ~= 1 or head:sub(17, 24) .. head:sub(41, 56) ~= ARGV[1] then
  return 0
end
local state = head:byte(10)
if state ~= 1 and state ~= 4 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
