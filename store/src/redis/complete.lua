#!lua flags=allow-oom
-- Records the answer, if the key is still the caller's and in flight or indeterminate. The effect has already happened,
-- so a server that is out of memory takes it all the same. The record's own header and retention stay, but for an answer
-- that has a retention of its own.
-- KEYS[1] the record; ARGV[1] the record in flight as the grant has it, ARGV[2] the record with the answer, ARGV[3] its life in
-- milliseconds, ARGV[4] there if the answer has a retention of its own. Returns 1, or 0 if the key is not the caller's.
local call, name, granted, answered = redis.call, KEYS[1], ARGV[1], ARGV[2]
-- As a whole: where it is large, an answer stands there, which the caller is going to read.
local record = call('GET', name)
-- Nearly always the record is as it was granted. Then what the client has made of it is what is made of it below.
if record == granted then
  call('SET', name, answered, 'PX', ARGV[3])
  return 1
end
if not record or #record < 104 or record:byte(9) ~= 1 then
  return 0
end
if record:sub(17, 24) .. record:sub(41, 56) ~= granted:sub(17, 24) .. granted:sub(41, 56) then
  return 0
end
local state = record:byte(10)
if state ~= 1 and state ~= 4 then
  return 0
end
local kept = (ARGV[4] and answered or record):sub(33, 40)
local retention = 0
for at = 1, 8 do
  retention = retention * 256 + kept:byte(at)
end
answered = answered:sub(1, 12) .. record:sub(13, 32) .. kept .. record:sub(41, 104) .. answered:sub(105)
call('SET', name, answered, 'PX', string.format('%.0f', retention))
return 1
