-- What wrk is told by server.py: "-- N" sends N requests at once. The last line that is printed has
-- bytes, errors, seconds, and the 50th, 99th and 99.9th percentile of latency in microseconds.

function init(args)
    local count = tonumber(args[1] or "1")
    if count > 1 then
        local batch = string.rep(wrk.format(), count)
        request = function() return batch end
    end
end

function done(summary, latency)
    local errors = 0
    for _, count in pairs(summary.errors) do errors = errors + count end
    print(string.format("%d %d %f %d %d %d", summary.bytes, errors, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
