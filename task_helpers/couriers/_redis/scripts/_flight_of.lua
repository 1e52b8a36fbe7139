local function flight_of(packed)               -- the key and the channels; what is damaged is none
  local ok, flight = pcall(cmsgpack.unpack, packed)
  if not ok or type(flight) ~= 'table' or not flight[1] then return nil end
  for _, part in ipairs(flight) do
    if type(part) ~= 'string' then return nil end
  end
  return flight
end
