-- All verbs of a small store, and what is wrong with it. A record is a hash; its time is the server's.
-- ARGV: verb, mutation, owner, fence, then what the verb needs.
local key, verb, mutation, owner, fence = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local r = redis.call('HMGET', key, 'state', 'owner', 'fence', 'number', 'fp', 'deadline', 'answer')
local state, naive = r[1], mutation == 'setnx'
local lease_is_expiry = naive or mutation == 'lease-is-expiry'

if verb == 'claim' then
  local fp, lease, retention, attempts = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  local function take(number)
    local f = math.max(now * 1000, (tonumber(r[3]) or 0) + 1)
    f = string.format('%.0f', f)
    redis.call('DEL', key)
    redis.call('HSET', key, 'state', 'P', 'owner', owner, 'fence', f, 'number', number, 'fp', fp,
      'deadline', string.format('%.0f', now + lease))
    redis.call('PEXPIRE', key, lease_is_expiry and lease or retention)
    return {'acquired', f, tostring(number)}
  end
  if not state then return take(1) end
  if state == 'R' then
    if r[2] == owner then return {'stale'} end
    return take(1)
  end
  if r[5] ~= fp then return {'mismatch'} end
  if state == 'C' then return {'completed', r[3], r[7]} end
  if r[2] == owner and not naive then return {'acquired', r[3], r[4]} end
  if naive or state == 'P' and now < tonumber(r[6]) then return {'in flight', '50'} end
  if tonumber(r[4]) < attempts then return take(tonumber(r[4]) + 1) end
  return {'indeterminate', r[3], r[4]}
end

local mine = state and r[2] == owner and (fence == '0' or r[3] == fence)
local lost = {'lost', state or '', r[3] or '0', r[7] or ''}

if verb == 'renew' then
  if naive then return {'held'} end
  if not mine or state ~= 'P' then return lost end
  redis.call('HSET', key, 'deadline', string.format('%.0f', now + ARGV[5]))
  if lease_is_expiry then redis.call('PEXPIRE', key, ARGV[5]) end
  return {'held'}
elseif verb == 'complete' then
  if mutation == 'unfenced' then
    -- Looks whether somebody completed, and not who.
    if state == 'C' then return {'recorded'} end
  elseif mutation ~= 'no-owner-check' and not naive then
    if not mine or state == 'R' then return lost end
    if state == 'C' then return {'recorded'} end
  end
  redis.call('HSET', key, 'state', 'C', 'owner', owner, 'fence', fence, 'fp', ARGV[6], 'number', ARGV[7], 'answer', ARGV[5])
  redis.call('PEXPIRE', key, ARGV[8])
  return {'recorded'}
elseif verb == 'release' then
  if naive or mutation == 'del-on-release' then
    redis.call('DEL', key)
    return {'released'}
  end
  if state and not (mine and (state == 'P' or state == 'R')) then return lost end
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', 'R', 'owner', owner, 'fence', r[3] or '0')
  redis.call('PEXPIRE', key, 60000)
  return {'released'}
elseif verb == 'abandon' then
  if not mine or state ~= 'P' and state ~= 'I' then return lost end
  redis.call('HSET', key, 'state', 'I')
  return {'abandoned'}
end
return redis.error_reply('no such verb')
