-- Uniformly random reads of the 10,000 objects.
math.randomseed(@SEED@)
request = function() return wrk.format("GET", "/d/" .. math.random(0, 9999)) end
