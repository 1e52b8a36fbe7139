-- append: queues up to 1,000 tasks as most are: of no priority, for now, without key, weight or bound.
--
-- Why: what add does, for a third of its price. Safe to repeat in the same way: an id that is unfinished is
-- not added again, and a repeat after a lost reply names the buckets in which results would be. HSET comes
-- last for the reason that add gives. The mark is set only where the line was empty. If it was lost since (a
-- worker died between taking it and its take), an idle worker comes by its own look, within a second.
--
-- KEYS  1 m  2 p  3 w   on a repeat: 4.. the result bucket of each id
-- ARGV  per task: its id, its envelope
-- Returns how many were new.

local m, p, w = KEYS[1], KEYS[2], KEYS[3]
local call = redis.call

-- include write

local ids = {}
for at = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[at] end

local function known()                         -- positions of the ids that are not to be added
  local unfinished, found = call('HMGET', m, unpack(ids)), nil
  for at, id in ipairs(ids) do
    local bucket = KEYS[3 + at]
    if unfinished[at] or bucket and call('HEXISTS', bucket, id) == 1 then
      found = found or {}
      found[at] = true
    end
  end
  return found
end

local fields, old = ARGV, known()
if old then
  local fresh = {}
  fields = {}
  for at, id in ipairs(ids) do
    if not old[at] then
      fresh[#fresh + 1] = id
      fields[#fields + 1] = id
      fields[#fields + 1] = ARGV[2 * at]
    end
  end
  ids = fresh
  if #ids == 0 then return 0 end
end

local length = call('RPUSH', p, unpack(ids))
if length == #ids then write('ZADD', w, 0, '0') end   -- in a line that was not empty the mark is set
call('HSET', m, unpack(fields))
return #ids
