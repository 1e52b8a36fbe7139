-- stats: the numbers of a queue at one moment, at a cost that does not grow with its length.
--
-- Why: one consistent answer. Only m is exact, the indexes may hold ids that have left it, so what waits is
-- what is unfinished and neither delayed nor running.
--
-- KEYS  1 m  2 p  3 d  4 x  5 z  6 s1  7 s2   8.. b:<token> of the leases
-- Returns { unfinished, delayed, running, dead, the first ids of the lines }.

local m, p, d, x, z, s1, s2 = unpack(KEYS, 1, 7)
local call = redis.call

local running = 0
for at = 8, #KEYS do
  for _, id in ipairs(call('LRANGE', KEYS[at], 0, -1)) do running = running + call('HEXISTS', m, id) end
end

local heads = {}
for _, ids in ipairs({
  call('LRANGE', p, 0, 99), call('ZRANGE', z, 0, 99), call('LRANGE', s1, 0, 99), call('LRANGE', s2, 0, 99),
}) do
  for _, id in ipairs(ids) do
    if call('HEXISTS', m, id) == 1 then
      heads[#heads + 1] = id
      break
    end
  end
end
return { call('HLEN', m), call('ZCARD', d), running, call('ZCARD', x), heads }
