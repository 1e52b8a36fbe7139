-- add: queues up to 1,000 tasks in one step, all of them or none.
--
-- Why: safe to repeat. An id that is unfinished is not added again. A repeat after a lost reply also
-- names the buckets in which results would be, so that a task which ended meanwhile does not run twice.
-- HSET comes last among the writes that can be refused: if one before it is refused, an id may stand in a line, where take
-- skips it, but nothing was added. On a full Redis the first of them is refused.
--
-- A task with a key comes alone. While another task of this key is unfinished nothing is added: the caller
-- shares that one, and gets its hint too.
--
-- KEYS  1 m  2 p  3 z  4 d  5 w  6 seq  7 h  8 f   on a repeat: 9.. the result bucket of each id
-- ARGV  1 most unfinished tasks, -1: any number   2 rank   3 delay in ms   4 due time in ms, 0: none
--       5 n   then n ids, then n envelopes, then the weight of each, unless it is 1
--       for a task with a key: after its weight the digest of the key, and the client's channel
-- Returns how many were new, or the id of the task that is shared; error QUEUEFULL.

local m, p, z, d, w, seq, h, f = unpack(KEYS, 1, 8)
local limit, rank, delay, due, n = unpack(ARGV, 1, 5)
limit, rank, delay, due, n = tonumber(limit), tonumber(rank), tonumber(delay), tonumber(due), tonumber(n)
local call = redis.call

-- include write
-- include keep_many

local function ended(at)
  local bucket = KEYS[8 + at]
  return bucket and call('HEXISTS', bucket, ARGV[5 + at]) == 1
end

local weight, digest, channel = unpack(ARGV, 6 + 2 * n, 8 + 2 * n)

-- include flight_of

local function share(id)
  local packed = call('HGET', f, id)
  local flight = packed and flight_of(packed) or { digest, '' }
  for at = 2, #flight do
    if flight[at] == channel then return end
  end
  flight[#flight + 1] = channel
  call('HSET', f, id, cmsgpack.pack(flight))
end

local shared = digest and redis.pcall('HGET', f, digest)
if type(shared) == 'string' and shared ~= ARGV[6] and call('HEXISTS', m, shared) == 1 then
  share(shared)
  return shared
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

write('ZADD', w, 0, '0')
if weight and weight ~= '1' then
  local weights = {}
  for at, id in ipairs(ids) do weights[2 * at - 1], weights[2 * at] = id, weight end
  keep_many(write, h, weights)
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
if digest then write('HSET', f, digest, ids[1], ids[1], cmsgpack.pack({ digest, channel })) end
keep_many(call, m, fields)
return #ids
