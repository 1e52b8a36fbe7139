-- retry: puts failed tasks of a batch off, each with a new envelope that counts its attempts.
--
-- Why: only under the lease and only while the id is in the batch, which it leaves in the same step, so a
-- crash of this worker cannot queue it twice. A blank takes its place: the batch keeps its size, and a
-- crash in company is never mistaken for one alone. A task that came back is no suspect any more.
-- LREM comes first among the writes: it frees memory, so this works on a full Redis too.
--
-- KEYS  1 m  2 l  3 b:<token>  4 d  5 c
-- ARGV  1 token   2.. per task: id, envelope, delay in ms, rank
-- Returns the refused ids. A repeat refuses nothing that still waits for its time.

local m, l, batch, d, c = unpack(KEYS)
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = call('ZSCORE', l, ARGV[1])
local refused = {}

for at = 2, #ARGV, 4 do
  local id, envelope, delay, rank = unpack(ARGV, at, at + 3)
  if held and call('HEXISTS', m, id) == 1 and call('LREM', batch, 1, id) == 1 then
    call('RPUSH', batch, '')
    call('HSET', m, id, envelope)
    call('ZADD', d, (now + delay) * 256 + rank, id)
    call('HDEL', c, id)
  elseif not call('ZSCORE', d, id) then
    refused[#refused + 1] = id
  end
end
return refused
