-- renew: extends the leases of all batches of one worker, and says that the worker lives.
--
-- Why: one call however many tasks are held. A lease that is gone stays gone, and its holder learns it.
-- ZREM comes before ZADD, so that it works on a full Redis too. The workers' key expires by itself.
--
-- KEYS  1 l  2 k
-- ARGV  1 lease in ms   2 name of the worker   3 ms after which a silent worker is forgotten
--       4.. tokens
-- Returns the tokens whose lease is lost.

local l, k = unpack(KEYS)
local lease, worker, forgotten_after = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

call('ZREMRANGEBYSCORE', k, '-inf', now - forgotten_after)
local lost = {}
for at = 4, #ARGV do
  if call('ZREM', l, ARGV[at]) == 1 then
    call('ZADD', l, now + lease, ARGV[at])
  else
    lost[#lost + 1] = ARGV[at]
  end
end
call('ZADD', k, now, worker)
call('PEXPIRE', k, forgotten_after)
return lost
