#!lua flags=allow-oom
-- Records the answer, if the key is still the caller's and in flight or indeterminate. The effect has already happened,
-- so a server that is out of memory takes it all the same. The record's own header and retention stay, but for an answer
-- that has a retention of its own.
-- KEYS[1] the record; ARGV[1] fence and owner as they stand in it, ARGV[2] the time of recording, ARGV[3] the new state,
-- ARGV[4] the payload, ARGV[5] the answer's own retention as it stands in a record, or ''. Returns 1, or 0 if the key is
-- not the caller's.
local head = redis.call('GETRANGE', KEYS[1], 0, 103)
if #head < 104 or head:byte(9) ~= 1 or head:sub(17, 24) .. head:sub(41, 56) ~= ARGV[1] then
  return 0
end
local state = head:byte(10)
if state ~= 1 and state ~= 4 then
  return 0
end
local kept = ARGV[5] ~= '' and ARGV[5] or head:sub(33, 40)
local retention = 0
for at = 1, 8 do
  retention = retention * 256 + kept:byte(at)
end
local record = ARGV[2] .. head:sub(9, 9) .. ARGV[3] .. '\0\0' .. head:sub(13, 32) .. kept .. head:sub(41, 104) .. ARGV[4]
redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', retention))
return 1
