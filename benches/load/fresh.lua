-- Every request a URL that nobody asked for before.
local number = 0
request = function() number = number + 1 return wrk.format("GET", "/m/@SEED@/" .. number) end
