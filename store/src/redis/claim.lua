-- A first claim, for servers where a user may call functions only: SET with NX and GET, as it is sent elsewhere.
-- KEYS[1] the record; ARGV[1] the record that a first claim writes, ARGV[2] its life in milliseconds. Returns nil, or what
-- stands there.
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET', 'PX', ARGV[2])
