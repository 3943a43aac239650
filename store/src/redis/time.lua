#!lua flags=no-writes
-- The server's time, for servers where a user may call functions only.
-- Returns {seconds, microseconds}.
return redis.call('TIME')
