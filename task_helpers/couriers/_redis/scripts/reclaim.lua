-- reclaim: dissolves a batch and queues its unfinished tasks again.
--
-- Why: one script for the ways in which a batch is given up.
--   expired   its lease ran out, which is checked here: the worker counts as crashed
--   dead      the caller saw the worker die: the same without the wait
--   released  the worker gives it back in good order: to the head of p, and nobody is blamed
-- A batch that lost its lease entry is dissolved without blame. Crashes are counted per task, 1 in company
-- and 1000 alone. After the first a task waits in s1, after more in s2, so it is taken with few neighbours,
-- then with none. One that was alone in enough crashes is convicted: the caller holds the batch under a
-- fresh lease and ends it with finish (dead); if the caller dies too, that lease runs out for the next.
--
-- KEYS  1 p  2 s1  3 s2  4 m  5 l  6 b:<token>  7 c  8 w
-- ARGV  1 token   2 expired | dead | released   3 crashes alone that convict   4 lease in ms
-- Returns { tasks queued again }, or for a convict { 0, id, envelope }.

local p, s1, s2, m, l, batch, c, w = unpack(KEYS)
local token, why, convicted, lease = ARGV[1], ARGV[2], 1000 * tonumber(ARGV[3]), tonumber(ARGV[4])
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = tonumber(call('ZSCORE', l, token))
if why == 'expired' and deadline and deadline > now then return { 0 } end

local ids = redis.pcall('LRANGE', batch, 0, -1)
if ids.err then ids = {} end                  -- it is no list of ours, and must not stand here for ever
local crashed = why == 'dead' or (why == 'expired' and deadline)
local blame = crashed and (#ids == 1 and 1000 or 1) or 0

local function crashes_of(id)
  local crashes = tonumber(call('HGET', c, id) or 0) or 0
  if blame > 0 and crashes < convicted then
    crashes = crashes + blame
    call('HSET', c, id, crashes)
  end
  return crashes
end

call('ZREM', l, token)
local heads, few, alone = {}, {}, {}
for _, id in ipairs(ids) do
  local envelope = call('HGET', m, id)
  if envelope then
    local crashes = crashes_of(id)
    if blame == 1000 and crashes >= convicted then
      call('ZADD', l, now + lease, token)
      return { 0, id, envelope }
    end
    local place = crashes == 0 and heads or crashes == 1 and few or alone
    place[#place + 1] = id
  end
end
call('DEL', batch)
for at = #heads, 1, -1 do call('LPUSH', p, heads[at]) end   -- the first of the batch is first again
if #few > 0 then call('RPUSH', s1, unpack(few)) end
if #alone > 0 then call('RPUSH', s2, unpack(alone)) end
local back = #heads + #few + #alone
if back > 0 then call('ZADD', w, 0, '0') end
return { back }
