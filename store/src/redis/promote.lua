#!lua flags=allow-oom
-- Lets a staged record take the place of the one in flight or indeterminate whose answer it has. The stage was written whole,
-- from what its owner was granted; so the record must have all that the grant says, its terms included, and not only fence and
-- owner. Without a stage RENAME fails, and nothing is written.
-- KEYS[1] the record, KEYS[2] the stage, which expires when the record is to; ARGV[1] the record in flight as the grant has it.
-- Returns 1, or 0 if another record stands; then the stage is gone.
local head = redis.call('GETRANGE', KEYS[1], '0', '103')
-- Nearly always the record is as it was granted.
if head ~= ARGV[1] then
  local state = head:byte(10)
  if head:byte(9) ~= 1 or (state ~= 1 and state ~= 4) or head:sub(13) ~= ARGV[1]:sub(13) then
    -- Removes it at once, and is a right that the scripts have anyway.
    redis.call('PEXPIRE', KEYS[2], '0')
    return 0
  end
end
redis.call('RENAME', KEYS[2], KEYS[1])
return 1
