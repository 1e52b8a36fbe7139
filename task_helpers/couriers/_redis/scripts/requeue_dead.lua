-- requeue_dead: gives dead letters another chance.
--
-- Why: the stored error goes too, so that whoever asks waits for the new outcome. The envelope is the
-- caller's, with the attempts counted from the start. A repeat changes nothing.
--
-- KEYS  1 m  2 p  3 x  4 xm  5 xe  6 w   7.. the result bucket of each id
-- ARGV  per task: id, envelope
-- Returns how many are in the queue now.

local m, p, x, xm, xe, w = unpack(KEYS, 1, 6)
local call = redis.call
local queued = 0
for at = 1, #ARGV, 2 do
  local id, envelope = ARGV[at], ARGV[at + 1]
  if call('HDEL', xm, id) == 1 then
    call('HDEL', xe, id)
    call('ZREM', x, id)
    call('HDEL', KEYS[6 + (at + 1) / 2], id)
    call('HSET', m, id, envelope)
    call('RPUSH', p, id)
    queued = queued + 1
  else
    queued = queued + call('HEXISTS', m, id)
  end
end
if queued > 0 then call('ZADD', w, 0, '0') end
return queued
