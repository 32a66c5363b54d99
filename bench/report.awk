# report.awk - the tables and the bars from the files "memory" (server kB), "starts" (round program
# starts/s) and "results" (run.awk). Columns of results: 5 requests/s, 6 p50, 7 p99, 8 max, 9 CPU, 10 errors, 11 foreign CPU.

# Sorts list[1..count] in place; mawk has no asort.
function sort(list, count,    i, j, value)
{
    for (i = 2; i <= count; i++) {
        value = list[i]
        for (j = i - 1; j >= 1 && list[j] > value; j--)
            list[j + 1] = list[j]
        list[j + 1] = value
    }
}

# The values of one column over the rounds, sorted, in the global list.
function collect(key, column,    round, count)
{
    split("", list)
    for (round = 1; round <= rounds; round++)
        if ((key, round, column) in value_of)
            list[++count] = value_of[key, round, column]
    sort(list, count)
    return count
}

function median(key, column,    count)
{
    count = collect(key, column)
    return count ? (list[int((count + 1) / 2)] + list[int(count / 2) + 1]) / 2 : 0
}

function spread(key, column, format,    count)
{
    count = collect(key, column)
    return sprintf(format " (" format "-" format ")", median(key, column), list[1], list[count])
}

function bar(text, value, limit, more)
{
    printf "- %s: %s, %s\n", text, value, ((more ? value + 0 >= limit : value + 0 <= limit) ? "met" : "missed")
}

FNR == 1 {
    file++
}

file == 1 {
    memory_sum[$1] += $2
    memory_count[$1]++
}

file == 2 {
    value_of["starts " $2, $1, 5] = $3
}

file == 3 {
    key = $2 " " $3 " " $4
    for (column = 5; column <= 11; column++)
        value_of[key, $1, column] = $column
    errors[key] += $10
    foreign[++runs] = $11
    noisy += $11 > 10
}

END {
    ways_count = split(ways, way, " ")
    programs_count = split(programs, program, " ")
    servers_count = split(servers, server, " ")
    peer = server[2]

    # Ratios are taken round by round: what slows a whole round down cancels out.
    for (w = 1; w <= ways_count; w++)
        for (p = 1; p <= programs_count; p++)
            for (s = 2; s <= servers_count; s++)
                for (round = 1; round <= rounds; round++) {
                    key = way[w] " " program[p] " "
                    theirs = value_of[key server[s], round, 5]
                    if (theirs > 0)
                        value_of[key server[s], round, "ratio"] = \
                            value_of[key server[1], round, 5] / theirs
                }

    print "| way | program | server | requests/s | p50 ms | p99 ms | max ms | CPU ms/request | errors | tricorn/peer |"
    print "|---|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for (w = 1; w <= ways_count; w++)
        for (p = 1; p <= programs_count; p++)
            for (s = 1; s <= servers_count; s++) {
                key = way[w] " " program[p] " " server[s]
                printf "| %s | %s | %s | %s | %s | %s | %s | %s | %d | %s |\n", way[w], program[p], \
                    server[s], spread(key, 5, "%.0f"), spread(key, 6, "%.1f"), \
                    spread(key, 7, "%.1f"), spread(key, 8, "%.0f"), \
                    spread(key, 9, "%.2f"), errors[key], \
                    s == 1 ? "" : spread(key, "ratio", "%.2f")
            }
    print "\nMedians of the rounds (smallest-largest).\n"

    print "| program | starts/s without a server |"
    print "|---|---:|"
    for (p = 1; p <= programs_count; p++)
        printf "| %s | %s |\n", program[p], spread("starts " program[p], 5, "%.0f")
    print ""

    print "| server | idle workers | private kB per worker |\n|---|---:|---:|"
    for (s = 1; s <= servers_count; s++)
        printf "| %s | %d | %.0f |\n", server[s], memory_count[server[s]], \
            memory_sum[server[s]] / memory_count[server[s]]
    print ""

    c_nginx = "nginx c "
    c_direct = "direct c "
    if ((c_nginx "tricorn", 1, 5) in value_of) {
        bar("C program through nginx, requests/s >= 1.3 x " peer, \
            sprintf("%.2f", median(c_nginx peer, "ratio")), 1.3, 1)
        bar("C program through nginx, p99 ms <= that of " peer " (" \
            sprintf("%.1f", median(c_nginx peer, 7)) ")", \
            sprintf("%.1f", median(c_nginx "tricorn", 7)), median(c_nginx peer, 7), 0)
    }
    if ((c_direct "tricorn", 1, 5) in value_of) {
        bar("C program straight, requests/s >= 1.5 x " peer, \
            sprintf("%.2f", median(c_direct peer, "ratio")), 1.5, 1)
        bar("C program straight, p99 ms <= that of " peer " (" \
            sprintf("%.1f", median(c_direct peer, 7)) ")", \
            sprintf("%.1f", median(c_direct "tricorn", 7)), median(c_direct peer, 7), 0)
    }
    bar("private memory per idle worker <= 300 kB", \
        sprintf("%.0f", memory_sum["tricorn"] / memory_count["tricorn"]), 300, 0)

    for (key in errors)
        failed += errors[key]
    printf "- failed requests: %d\n", failed
    sort(foreign, runs)
    printf "- foreign CPU use, %% of the machine: median %.1f, largest %.1f; %s\n", \
        foreign[int((runs + 1) / 2)], foreign[runs], \
        noisy ? noisy " of " runs " runs above 10 %: the machine was noisy, repeat this when it is calm" \
              : "the machine was calm"
}
