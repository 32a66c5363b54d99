# run.awk - one run's line for the results, from what bench/run saw before and after it:
#   round way program server | all server own busy total | the same again | result of the load
# gives
#   round way program server requests/s p50 p99 max CPU-ms-per-request errors foreign-CPU-%
#
# fcgiwrap does not wait for its programs, so that no process's count holds what they used. What is
# left of the machine's busy time is theirs and the server's, once everybody else's is taken off.
{
    own = $12 - $7
    foreign = ($10 - $5) - ($11 - $6) - own
    if (foreign < 0)
        foreign = 0
    used = ($13 - $8) - own - foreign
    total = $14 - $9
    for (i = 15; i < NF; i += 2)
        result[$i] = $(i + 1)
    cpu = result["answered"] > 0 && used > 0 ? used * 1000 / hertz / result["answered"] : 0
    # A load that did not even report has failed altogether.
    errors = "errors" in result ? result["errors"] : 1
    printf "%s %s %s %s %.1f %.3f %.3f %.3f %.3f %d %.1f\n", $1, $2, $3, $4, result["rate"], \
        result["p50"], result["p99"], result["max"], cpu, errors, (total > 0 ? 100 * foreign / total : 0)
}
