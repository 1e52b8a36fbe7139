-- finish: ends up to 1,000 tasks: stores the outcomes, acknowledges, and hints at those who wait.
--
-- Why: outcome and acknowledgement are one step, so a task has exactly one outcome. A success counts
-- while the task is unfinished, whoever ran it. An error counts only under the lease of its batch and
-- while the id is in it, which it leaves: a worker that was given up cannot fail what another one is
-- doing. A repeat changes nothing and answers the same: an outcome equal to the stored one is not refused.
-- HDEL or LREM comes first among the writes: it frees memory, so results still pass on a full Redis.
--
-- Most of the time all tasks of a batch succeed and are unfinished: then one command ends them all, and
-- the hints go as they came. That they are unfinished is known without a look at each: whoever ends a task
-- without a lease leaves a mark in o, for a day, and under a lease a task is ended once. Where nevertheless
-- only some were there, what has an outcome keeps it, and of those that this call did not end no outcome
-- travels in a hint.
--
-- A group is the tasks that end in one way and whose outcomes share a bucket. The ways:
--   done     a success
--   failed   an error
--   dead     an error, and the task is kept among the dead letters, where the oldest make room
--   expired  an error, but nobody performed the task
--
-- KEYS  1 m  2 l  3 b:<token>  4 c  5 x  6 xm  7 xe  8 n:<minute>  9 v  10 g  11 h  12 f
--       13 o   14.. the bucket of each group
-- ARGV  1 token   2 ttl of an outcome in ms   3 last: 1 closes the batch   4 most dead letters
--       5 n   6 number of hints
--       then per group: way, size · per hint: channel, message: a list of ids and outcomes, as msgpack,
--       where an empty outcome says that there is something to be read
--       then n ids, n outcomes, both in the order of the groups; an empty outcome is not stored,
--       and where all are empty there are none
-- Returns the refused ids.

local m, l, batch, c, x, xm, xe, n_minute, v, g, h, f, o = unpack(KEYS, 1, 13)
local token, ttl, last, most_dead = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local n, hints, groups = tonumber(ARGV[5]), tonumber(ARGV[6]), #KEYS - 13
local hints_at = 6 + 2 * groups
local ids_at = hints_at + 2 * hints
local call, hinted_bytes = redis.call, 1000     -- larger outcomes do not travel, here to those who share a task
local held = call('ZSCORE', l, token)
local alone = held and call('EXISTS', o) == 0   -- nobody else has ended a task of this batch
local strays = false                           -- this call did so with tasks that others may hold
local refused, buried, buried_at, counts = {}, 0, nil, {}
local unended = {}                             -- ids that this call did not end
local sparse = call('EXISTS', c, g, h, f) > 0  -- most of the time there is nothing of these
local ended, gone, stored = {}, {}, {}         -- kept only where there is

local function leaves_batch(id)
  if redis.pcall('LREM', batch, 1, id) ~= 1 then return false end
  call('RPUSH', batch, '')                    -- a blank keeps a crash in company from looking alone
  return true
end

-- include write
-- include keep_many

local function now()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function bury(id, envelope, outcome)
  buried_at = buried_at or now()
  write('HSET', xm, id, envelope)
  write('HSET', xe, id, outcome)
  write('ZADD', x, buried_at, id)
  buried = buried + 1
end

local function note_end(id, envelope)
  if not sparse then return end
  ended[#ended + 1] = id
  if not envelope then gone[#gone + 1] = id end
end

local function finish(way, id, bucket, outcome)
  local envelope = way == 'dead' and held and call('HGET', m, id)
  if (way == 'done' or held and leaves_batch(id)) and call('HDEL', m, id) == 1 then
    counts[way] = (counts[way] or 0) + 1
    strays = strays or not held
    if envelope then bury(id, envelope, outcome) end
    note_end(id, envelope)
    return true
  end
  if (redis.pcall('HGET', bucket, id) or '') ~= outcome then refused[#refused + 1] = id end
end

local function succeed(way, ids)               -- at once; how many were there, 0: each must be looked at
  if way ~= 'done' or not alone then return 0 end
  local k = call('HDEL', m, unpack(ids))
  if k > 0 then counts.done = (counts.done or 0) + k end
  return k
end

local function is_first(id, bucket, outcome)    -- of one that is not in m any more
  local there = redis.pcall('HGET', bucket, id)
  if type(there) ~= 'string' then return true end
  if there ~= outcome then refused[#refused + 1] = id end
  return false
end

local function acknowledge(bucket, ids)         -- silently: what has a result by now is refused
  for at, envelope in ipairs(sparse and call('HMGET', m, unpack(ids)) or {}) do
    if envelope then note_end(ids[at]) end
  end
  local k = call('HDEL', m, unpack(ids))
  if k > 0 then
    counts.done = (counts.done or 0) + k
    strays = strays or not held
  end
  if k == #ids then return end
  for at, outcome in ipairs(redis.pcall('HMGET', bucket, unpack(ids))) do
    if outcome then refused[#refused + 1] = ids[at] end
  end
end

local function store(bucket, fields)
  keep_many(write, bucket, fields)
  call('PEXPIRE', bucket, ttl)
end

local function remember(fields)                -- for those who share a task, see land
  for k = 1, #fields, 2 do
    if #fields[k + 1] <= hinted_bytes then stored[fields[k]] = fields[k + 1] end
  end
end

local function hint(message)                   -- a refused outcome must not travel: only what was stored does
  if not next(unended) then return message end
  local flat = cmsgpack.unpack(message)
  for k = 1, #flat, 2 do
    if unended[flat[k]] then flat[k + 1] = '' end
  end
  return cmsgpack.pack(flat)
end

local function count()                         -- for an hour; and of a backlog, whose rate take reckons
  for way, k in pairs(counts) do
    local field = way == 'dead' and 'failed' or way
    if redis.pcall('HINCRBY', n_minute, field, k) == k then call('PEXPIRE', n_minute, 3660000) end
  end
  local performed = (counts.done or 0) + (counts.failed or 0) + (counts.dead or 0)
  if performed > 0 and redis.pcall('HEXISTS', v, 'since') == 1 then
    redis.pcall('HINCRBY', v, 'ended', performed)
  end
end

local function forget(key, ids)
  if #ids > 0 then redis.pcall('HDEL', key, unpack(ids)) end
end

-- include flight_of

local function land()                          -- keys are free again; all who share a task get the hint
  if #ended == 0 then return end
  for at, flight in ipairs(redis.pcall('HMGET', f, unpack(ended))) do
    if flight then
      flight = flight_of(flight) or {}
      call('HDEL', f, ended[at], flight[1] or '')
      local message = cmsgpack.pack({ ended[at], stored[ended[at]] or '' })
      for k = 3, #flight do call('PUBLISH', flight[k], message) end   -- the first is among the hints
    end
  end
end

local function finish_group(way, bucket, ids, outcomes_at)
  local fields, k = {}, 0
  local succeeded = succeed(way, ids)
  local whole = succeeded == #ids
  for place = 1, #ids do
    local id, outcome, ends = ids[place], ARGV[outcomes_at + place], whole
    if succeeded == 0 then ends = finish(way, id, bucket, outcome)
    else
      ends = ends or is_first(id, bucket, outcome)
      if ends and sparse then note_end(id) end
    end
    if not ends then unended[id] = true
    elseif outcome ~= '' then fields[k + 1], fields[k + 2], k = id, outcome, k + 2 end
  end
  if k > 0 then store(bucket, fields) end
  if sparse then remember(fields) end
end

local at, silent = ids_at, #ARGV == ids_at + n
for group = 1, groups do
  local bucket, way, size = KEYS[13 + group], ARGV[5 + 2 * group], tonumber(ARGV[6 + 2 * group])
  local ids = { unpack(ARGV, at + 1, at + size) }
  if silent then acknowledge(bucket, ids) else finish_group(way, bucket, ids, at + n) end
  at = at + size
end

if strays then
  write('HSET', o, 'marked_at', now())
  call('PEXPIRE', o, 86400000)
end
if last then
  call('DEL', batch)
  call('ZREM', l, token)
end
if sparse then
  forget(c, ended)
  forget(g, ended)
  forget(h, gone)                              -- a dead letter keeps its weight, it may be queued again
  land()
end
if buried > 0 then
  local oldest = call('ZPOPMIN', x, math.max(0, call('ZCARD', x) - most_dead))
  for k = 1, #oldest, 2 do
    call('HDEL', xm, oldest[k])
    call('HDEL', xe, oldest[k])
    redis.pcall('HDEL', h, oldest[k])
  end
end
count()
for at = hints_at + 1, ids_at, 2 do call('PUBLISH', ARGV[at], hint(ARGV[at + 1])) end
return refused
