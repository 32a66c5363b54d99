-- wrk.lua - wrk's result in the form of fcgiload's: names and numbers on one line, times in ms.
-- wrk counts an answer other than 2xx or 3xx as a request; here it is an error and no request.
function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    local good = summary.requests - errors.status
    local seconds = summary.duration / 1e6
    io.write(string.format(
        "result requests %d seconds %.3f rate %.1f p50 %.3f p99 %.3f max %.3f answered %d errors %d",
        good, seconds, good / seconds, latency:percentile(50) / 1000,
        latency:percentile(99) / 1000, latency.max / 1000, summary.requests, failed))
    io.write(string.format(" connect %d read %d write %d status %d timeout %d\n", errors.connect,
        errors.read, errors.write, errors.status, errors.timeout))
end
