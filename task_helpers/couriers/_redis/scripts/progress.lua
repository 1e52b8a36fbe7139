-- progress: keeps what running tasks say of how far they are.
--
-- Why: only who holds a task may speak for it, so a late word is dropped: its batch lost its lease, or the
-- task has ended. What is kept begins with the token, so that a word of an earlier attempt is told apart
-- without anybody deleting it; finish deletes that of ended tasks, and g expires by itself.
--
-- KEYS  1 m  2 l  3 g
-- ARGV  1 token   2 ms after which g expires   then per task: id, note

local m, l, g = unpack(KEYS)
local token, ttl = ARGV[1], ARGV[2]
local call = redis.call

if not call('ZSCORE', l, token) then return end
local fields = {}
for at = 3, #ARGV, 2 do
  if call('HEXISTS', m, ARGV[at]) == 1 then
    fields[#fields + 1] = ARGV[at]
    fields[#fields + 1] = token .. ARGV[at + 1]
  end
end
if #fields == 0 then return end
if type(redis.pcall('HSET', g, unpack(fields))) == 'table' then   -- not of our type, or no memory
  call('DEL', g)
  call('HSET', g, unpack(fields))
end
call('PEXPIRE', g, ttl)
