-- look: for each awaited id its outcome, or whether the task is still unfinished.
--
-- Why: asked separately, a task could end between the two questions and look as if it were lost.
--
-- KEYS  1 m   2.. result buckets
-- ARGV  per bucket: the number of its ids, then the ids
-- Returns per id, in the order given: its outcome, 1 (unfinished) or 0 (neither known nor ended).

local call = redis.call
local seen, at = {}, 1
for g = 2, #KEYS do
  local size = tonumber(ARGV[at])
  local outcomes = call('HMGET', KEYS[g], unpack(ARGV, at + 1, at + size))
  for k = 1, size do
    seen[#seen + 1] = outcomes[k] or call('HEXISTS', KEYS[1], ARGV[at + k])
  end
  at = at + size + 1
end
return seen
