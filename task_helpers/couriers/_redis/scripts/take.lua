-- take: moves up to `max` tasks into a batch that is leased to the caller.
--
-- Why: the caller names the batch by a token of its own before it calls, so a repeat after a lost reply
-- gives the same batch and a fresh lease. Suspects go first, one of s2 alone or a few of s1, so that a
-- poisonous task finds few neighbours. Then the priorities above 0, p, and those below 0, each first in
-- first out. Ids that have left m (cancelled, or ended by a late worker) are skipped; a call pops at most
-- 100 times, so that a queue full of those cannot hold Redis up. If it found nothing until then it says
-- that the next task is due now: call again.
-- A batch ends at about 8 MB, however few tasks that are: a larger one would hold everybody up.
-- With a most weight, a batch ends before the task that would exceed it; one that is heavier goes alone. A
-- task that is not in h weighs 1, and where there is no h nobody looks further.
-- From a take that leaves tasks behind to one that leaves none workers are as fast as they can be: the drain
-- rate, in tasks a second, is what finish counted since then. What is older than a minute fades.
-- Of a worker that performs others beside them (threads), a blank in the batch says that they have company:
-- a crash blames none of them alone. Suspects get none, and the worker performs them by themselves.
-- LPOP and ZREM come first among the writes: they free memory, so a full Redis is still drained.
--
-- KEYS  1 p  2 z  3 s1  4 s2  5 m  6 d  7 l  8 w  9 seq  10 v  11 h  12 b:<token>
-- ARGV  1 token   2 max   3 lease in ms   4 beside: 1, others are performed beside them
--       5 most weight, 0: any
-- Returns { ids, envelopes, Redis' time in ms, due time of the next delayed task or -1,
--           tokens of at most 10 batches whose lease has run out, 1: suspects }.

local p, z, s1, s2, m, d, l, w, seq, v, h, batch = unpack(KEYS)
local token, max, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local beside, suspects = ARGV[4] == '1', false
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids, envelopes, kept, pops, bytes = {}, {}, 0, 100, 0
local most_bytes, step, indexed = 8000000, 128, false
-- include write
-- include keep_many

local few = math.max(1, math.floor(max / 16))
local room = ARGV[5] ~= '0' and tonumber(ARGV[5]) or nil   -- for more weight; nil: it is not asked for
if room and call('EXISTS', h) == 0 then       -- each weighs 1
  max, few, room = math.min(max, room), math.min(few, room), nil
end

local function keep(candidates)               -- how many were kept or are stale; the others have no room
  if #candidates >= many and not indexed then   -- what came one by one is searched from the start
    indexed = true
    redis.pcall('HSET', m, '', long)
    redis.pcall('HDEL', m, '')
  end
  local found = call('HMGET', m, unpack(candidates))
  local weights = room and redis.pcall('HMGET', h, unpack(candidates)) or {}
  for at, id in ipairs(candidates) do
    local envelope = found[at]
    if envelope then
      if room then
        local weight = tonumber(weights[at] or 1) or 1
        if weight > room and kept > 0 then
          pops = 0                            -- the batch is full
          return at - 1
        end
        room = room - weight
      end
      kept = kept + 1
      ids[kept], envelopes[kept] = id, envelope
      bytes = bytes + #envelope
    end
  end
  return #candidates
end

local function next_step()                    -- a few at first, to learn how large they are
  if kept == 0 then return 8 end
  return math.min(step, math.ceil((most_bytes - bytes) / (bytes / kept)))
end

local function fill(limit, look, drop)
  while kept < limit and pops > 0 and bytes < most_bytes do
    local wanted = math.min(limit - kept, next_step())
    local first = look(wanted)
    if not first or #first == 0 then return end
    pops = pops - 1
    drop(first, keep(first))
    if #first < wanted then return end        -- there are no more
  end
end

local function from_list(key)                 -- two commands only where some may have to stay
  return function(count)
    if room then return call('LRANGE', key, 0, count - 1) end
    return call('LPOP', key, count)
  end, function(_, count)
    if room and count > 0 then call('LPOP', key, count) end
  end
end

local function from_z(highest_score)
  return function(count)
    return call('ZRANGEBYSCORE', z, '-inf', highest_score, 'LIMIT', 0, count)
  end, function(first, count)
    if count > 0 then call('ZREM', z, unpack(first, 1, count)) end
  end
end

local function promote()                      -- a delayed score is due * 256 + rank, so the rank survives
  local due = call('ZRANGEBYSCORE', d, '-inf', now * 256 + 255, 'WITHSCORES', 'LIMIT', 0, 1000)
  for at = 1, #due, 2 do
    local id, rank = due[at], due[at + 1] % 256
    call('ZREM', d, id)
    if rank == 100 or rank ~= rank then       -- of an infinite score it is not a number
      call('RPUSH', p, id)
    else
      call('ZADD', z, rank * 2 ^ 44 + call('INCR', seq), id)
    end
  end
end

local others = call('EXISTS', z, s1, s2, d) > 0   -- most of the time all that waits is in p

local function reply()
  local next_due = others and call('ZRANGE', d, 0, 0, 'WITHSCORES')[2]
  next_due = next_due and math.floor(next_due / 256) or -1
  if pops == 0 and kept == 0 then next_due = now end
  local overdue = call('ZRANGEBYSCORE', l, '-inf', now, 'LIMIT', 0, 10)
  return { ids, envelopes, now, next_due, overdue, suspects and 1 or 0 }
end

local function measure()
  local since, ended = unpack(redis.pcall('HMGET', v, 'since', 'ended'))
  since, ended = tonumber(since), tonumber(ended) or 0
  if not since then
    write('HSETNX', v, 'since', now)
    call('PEXPIRE', v, 600000)
  elseif ended > 0 and now > since then
    call('HSET', v, 'rate', 1000 * ended / (now - since))
    if now - since > 60000 then
      call('HSET', v, 'since', (since + now) / 2, 'ended', math.floor(ended / 2))
      call('PEXPIRE', v, 600000)
    end
  end
end

if call('EXISTS', batch) == 1 then            -- a repeat
  local placed = call('LRANGE', batch, 0, -1)
  room = nil
  keep(placed)
  suspects = beside and placed[#placed] ~= ''
  call('ZREM', l, token)
  call('ZADD', l, now + lease, token)
  return reply()
end

if others then
  promote()
  fill(1, from_list(s2))
  if kept == 0 then fill(few, from_list(s1)) end
end
suspects = kept > 0
if kept == 0 then
  if others then fill(max, from_z(100 * 2 ^ 44 - 1)) end
  fill(max, from_list(p))
  if others then fill(max, from_z('+inf')) end
end

if kept > 0 then
  call('RPUSH', batch, unpack(ids))
  if beside and not suspects then call('RPUSH', batch, '') end
  call('ZADD', l, now + lease, token)
end
if call('EXISTS', p, z, s1, s2) > 0 then
  write('ZADD', w, 0, '0')                    -- there is work for the next worker
  if kept > 0 then measure() end
else
  call('DEL', w, v)
end
return reply()
