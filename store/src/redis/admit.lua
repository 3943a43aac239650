-- Lets a fence pass and makes it the highest of its key, unless a greater one stands, or the same one of another owner.
-- KEYS[1] the mark; ARGV[1] the caller's mark: a version, the fence in eight bytes, the owner in sixteen; ARGV[2] its
-- life in milliseconds. Returns {the mark that stands then, or what stands there and is none; 1 if it was written}.
local stands = redis.call('GET', KEYS[1])
local life = tonumber(ARGV[2])
if stands then
  if stands ~= ARGV[1] then
    if #stands ~= #ARGV[1] or stands:byte(1) ~= ARGV[1]:byte(1) then return {stands} end
    -- Byte by byte: a Lua number holds 53 bits, and how strings compare depends on the server's locale.
    local at = 2
    while at <= 9 and stands:byte(at) == ARGV[1]:byte(at) do at = at + 1 end
    if at > 9 or stands:byte(at) > ARGV[1]:byte(at) then return {stands} end
  end
  -- Nothing is remembered for less than was promised before.
  life = math.max(life, redis.call('PTTL', KEYS[1]))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', life))
return {ARGV[1], 1}
