-- stats: the numbers of a queue at one moment, at a cost that does not grow with its length.
--
-- Why: one consistent answer. Only m is exact, the indexes may hold ids that have left it, so what waits is
-- what is unfinished and neither delayed nor running.
--
-- KEYS  1 m  2 p  3 d  4 l  5 x  6 z   7.. b:<token> of the leases
-- Returns { unfinished, delayed, running, dead, id next in line or nil }.

local m, p, d, _, x, z = unpack(KEYS, 1, 6)
local call = redis.call
local running = 0
for at = 7, #KEYS do running = running + call('LLEN', KEYS[at]) end

local function first_unfinished(ids)
  for _, id in ipairs(ids) do
    if call('HEXISTS', m, id) == 1 then return id end
  end
end

local head = first_unfinished(call('LRANGE', p, 0, 99)) or first_unfinished(call('ZRANGE', z, 0, 99))
return { call('HLEN', m), call('ZCARD', d), running, call('ZCARD', x), head }
