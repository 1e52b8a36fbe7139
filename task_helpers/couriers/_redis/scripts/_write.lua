local function write(command, key, ...)        -- a key of another type than ours says nothing: it goes
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
    redis.call(command, key, ...)              -- any other error stands, such as that of a full Redis
  end
end
