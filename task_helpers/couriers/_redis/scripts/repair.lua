-- repair: queues ids again that are in m and in no index.
--
-- Why: m is the truth, the rest are indexes that an eviction, a partial restore or a mistaken DEL can
-- lose. The caller finds candidates without holding Redis up; this script looks again before it acts,
-- because a candidate may have moved between the reads. LPOS is O(length): keep the calls small.
--
-- KEYS  1 m  2 p  3 z  4 s1  5 s2  6 d  7 l  8 w   9.. b:<token> of every lease
-- ARGV  1 number of tokens   then the tokens, then the ids
-- Returns how many were queued again; -1: a batch appeared meanwhile, read the leases again.

local m, p, z, s1, s2, d, l, w = unpack(KEYS, 1, 8)
local tokens = tonumber(ARGV[1])
local call = redis.call
local lists, known = { p, s1, s2 }, {}
for at = 1, tokens do
  known[ARGV[1 + at]] = true
  lists[#lists + 1] = KEYS[8 + at]
end
for _, token in ipairs(call('ZRANGE', l, 0, -1)) do
  if not known[token] then return -1 end
end

local function placed(id)
  if call('ZSCORE', z, id) or call('ZSCORE', d, id) then return true end
  for _, key in ipairs(lists) do
    if call('LPOS', key, id) then return true end
  end
  return false
end

local back = 0
for at = 2 + tokens, #ARGV do
  local id = ARGV[at]
  if call('HEXISTS', m, id) == 1 and not placed(id) then
    call('RPUSH', p, id)
    back = back + 1
  end
end
if back > 0 then call('ZADD', w, 0, '0') end
return back
