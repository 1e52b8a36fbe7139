-- Redis searches a hash of up to 512 small values from its start. A value of more than 64 bytes makes it
-- index the fields, and it stays so when that value has gone.
local many, long = 32, string.rep('.', 65)

local function keep_many(set, key, fields)
  if #fields < 2 * many then return set('HSET', key, unpack(fields)) end
  set('HSET', key, '', long, unpack(fields))
  redis.call('HDEL', key, '')
end
