-- add: queues up to 1,000 tasks in one step, all of them or none.
--
-- Why: safe to repeat. An id that is unfinished is not added again. A repeat after a lost reply also
-- names the buckets in which results would be, so that a task which ended meanwhile does not run twice.
-- HSET comes last among the writes: if one before it is refused, an id may stand in a line, where take
-- skips it, but nothing was added. On a full Redis the first of them is refused.
--
-- KEYS  1 m  2 p  3 z  4 d  5 w  6 seq  7 h   on a repeat: 8.. the result bucket of each id
-- ARGV  1 most unfinished tasks, -1: any number   2 rank   3 delay in ms   4 due time in ms, 0: none
--       5 n   then n ids, then n envelopes, then the weight of each, unless it is 1
-- Returns how many were new; error QUEUEFULL.

local m, p, z, d, w, seq, h = unpack(KEYS, 1, 7)
local limit, rank, delay, due, n = unpack(ARGV, 1, 5)
limit, rank, delay, due, n = tonumber(limit), tonumber(rank), tonumber(delay), tonumber(due), tonumber(n)
local call = redis.call

local function ended(at)
  local bucket = KEYS[7 + at]
  return bucket and call('HEXISTS', bucket, ARGV[5 + at]) == 1
end

local unfinished = call('HMGET', m, unpack(ARGV, 6, 5 + n))
local ids, fields, seen = {}, {}, {}
for at = 1, n do
  local id = ARGV[5 + at]
  if not (unfinished[at] or seen[id] or ended(at)) then
    seen[id] = true
    ids[#ids + 1] = id
    fields[#fields + 1] = id
    fields[#fields + 1] = ARGV[5 + n + at]
  end
end
if #ids == 0 then return 0 end
if limit >= 0 and call('HLEN', m) + #ids > limit then
  return redis.error_reply('QUEUEFULL the queue has no room')
end

local function ranked(key, score_of)
  local pairs = {}
  for at, id in ipairs(ids) do
    pairs[2 * at - 1] = score_of(at)
    pairs[2 * at] = id
  end
  call('ZADD', key, unpack(pairs))
end

call('ZADD', w, 0, '0')
local weight = ARGV[6 + 2 * n]
if weight then
  local weights = {}
  for at, id in ipairs(ids) do weights[2 * at - 1], weights[2 * at] = id, weight end
  call('HSET', h, unpack(weights))
end
if delay > 0 then
  local time = call('TIME')
  due = time[1] * 1000 + math.floor(time[2] / 1000) + delay
end
if due > 0 then
  ranked(d, function() return due * 256 + rank end)
elseif rank == 100 then
  call('RPUSH', p, unpack(ids))
else
  local before = call('INCRBY', seq, #ids) - #ids
  ranked(z, function(at) return rank * 2 ^ 44 + before + at end)
end
call('HSET', m, unpack(fields))
return #ids
