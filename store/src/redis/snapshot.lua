#!lua flags=no-writes
-- The record as it is, what is left of it, and the server's time: what a decision needs.
-- KEYS[1] the record. Returns {value or nil, milliseconds left, seconds, microseconds}.
local time = redis.call('TIME')
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), time[1], time[2]}
