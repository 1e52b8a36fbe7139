-- cancel: ends a task that no worker has taken.
--
-- Why: the caller reads the leases and passes their batches. A batch that appeared since cannot be looked
-- into, so the caller reads again. "cancelled" therefore means that the task never runs. Its id may stay in
-- a list, where take skips it.
--
-- KEYS  1 m  2 l  3 z  4 d  5 c  6 h  7 f  8 n:<minute>  9 the result bucket of the id
--       10.. b:<token> of every lease
-- ARGV  1 id   2 outcome for whoever waits   3 ttl of an outcome in ms   4 channel for the hint
--       5.. the tokens
-- Returns cancelled | running | unknown (ended, or never added) | changed (read the leases again).

local m, l, z, d, c, h, f, n, bucket = unpack(KEYS, 1, 9)
local id, outcome, ttl, channel = unpack(ARGV, 1, 4)
local call = redis.call

-- include write

if call('HEXISTS', m, id) == 0 then
  return call('HGET', bucket, id) == outcome and 'cancelled' or 'unknown'
end

local known = {}
for at = 5, #ARGV do
  known[ARGV[at]] = true
  if call('LPOS', KEYS[at + 5], id) then return 'running' end
end
for _, token in ipairs(call('ZRANGE', l, 0, -1)) do
  if not known[token] then return 'changed' end
end

call('HDEL', m, id)
redis.pcall('ZREM', z, id)                     -- what is no index of ours holds no id
redis.pcall('ZREM', d, id)
redis.pcall('HDEL', c, id)
redis.pcall('HDEL', h, id)
write('HSET', bucket, id, outcome)
call('PEXPIRE', bucket, ttl)
if redis.pcall('HINCRBY', n, 'cancelled', 1) == 1 then call('PEXPIRE', n, 3660000) end   -- kept for an hour
-- include flight_of

local hint, flight = cmsgpack.pack({ id, outcome }), redis.pcall('HGET', f, id)
call('PUBLISH', channel, hint)
if type(flight) == 'string' then              -- its key is free again, all who share it get the hint
  flight = flight_of(flight) or {}
  call('HDEL', f, id, flight[1] or '')
  for at = 3, #flight do call('PUBLISH', flight[at], hint) end
end
return 'cancelled'
