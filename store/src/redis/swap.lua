-- Replaces exactly the record that was seen. A renewal leaves the bytes and moves the expiry, so both are compared.
-- KEYS[1] the record; ARGV[1] the bytes seen ('' for none), ARGV[2] the milliseconds that were left of them,
-- ARGV[3] the new bytes, ARGV[4] their life in milliseconds ('' to keep the present one). Returns 1, or 0 if it differs.
local present = redis.call('GET', KEYS[1])
if ARGV[1] == '' then
  if present then return 0 end
elseif present ~= ARGV[1] or redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then
  return 0
end
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
