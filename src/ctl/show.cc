#include "ctl/show.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

namespace ctl {

namespace {

// A row of a table; the first row is its headline.
using Row = std::vector<std::string>;

// Columns on the screen, as far as characters are one wide.
std::size_t width(std::string_view text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

// Columns two blanks apart; those that `numbers` names by an n are flush right.
std::string table(const std::vector<Row>& rows, std::string_view columns)
{
    std::vector<std::size_t> widths(columns.size());
    for (const Row& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i]));
    std::string text;
    for (const Row& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string padding(widths[i] - width(row[i]), ' ');
            line += columns[i] == 'n' ? padding + row[i] : row[i] + padding;
            line += "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

template <class... Values>
std::string format(const char* pattern, Values... values)
{
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), pattern, values...);
    return text.data();
}

// 0.4s, 59s, 3m20s, 5h07m, 12d03h
std::string period(double seconds)
{
    if (seconds < 10)
        return format("%.1fs", seconds);
    const auto whole = static_cast<long long>(std::min(seconds, 1e15));
    if (whole < 60)
        return format("%llds", whole);
    if (whole < 3600)
        return format("%lldm%02llds", whole / 60, whole % 60);
    if (whole < 86400)
        return format("%lldh%02lldm", whole / 3600, whole / 60 % 60);
    return format("%lldd%02lldh", whole / 86400, whole / 3600 % 24);
}

std::string memory(std::uint64_t bytes)
{
    return format("%.1fM", static_cast<double>(bytes) / (1 << 20));
}

std::string safe(std::string_view text)
{
    return text::escape_control(text);
}

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : " ") + safe(word);
    return text;
}

// "3/2048"
std::string queue(const control::PoolStatus& pool)
{
    if (pool.queue < 0)
        return "-";
    return std::to_string(pool.queue) + "/" + std::to_string(pool.queue_size);
}

Row worker_row(const control::PoolStatus& pool, const control::WorkerStatus& worker)
{
    const bool busy = !worker.request.empty();
    std::string request = busy ? safe(worker.request) : "-";
    if (!worker.script.empty())
        request += " (" + safe(worker.script) + ")";
    return {std::to_string(worker.pid),
            safe(pool.name),
            safe(worker.state) + (worker.current ? "" : ", old"),
            period(worker.age),
            std::to_string(worker.requests),
            memory(worker.memory),
            busy ? period(worker.elapsed) : "-",
            request};
}

std::string show_exits(const control::ServerStatus& server)
{
    std::vector<Row> rows{{"ENDED", "POOL", "PID", "HOW"}};
    for (const control::PoolStatus& pool : server.pools)
        for (const control::WorkerExit& exit : pool.exits)
            rows.push_back(
                {safe(exit.time), safe(pool.name), std::to_string(exit.pid), safe(exit.how)});
    return rows.size() == 1 ? "" : "\n" + table(rows, "ttnt");
}

// What is wrong with a pool, a line each.
std::string show_troubles(const control::ServerStatus& server)
{
    std::string text;
    if (!server.reload_error.empty())
        text += "the last reload failed:\n" + show_lines(server.reload_error + "\n");
    if (!server.successor_end.empty())
        text += "the last upgrade: the new server has ended: " + safe(server.successor_end) + "\n";
    if (server.state == "serving" && !server.pools.empty() &&
        std::ranges::all_of(server.pools, [](const auto& pool) { return pool.limit == 0; }))
        text += "SIGWINCH has retired all workers: SIGHUP or SIGTTIN starts workers again\n";
    for (const control::PoolStatus& pool : server.pools)
        if (pool.retry > 0)
            text += "pool " + safe(pool.name) + ": workers do not boot, one is tried every " +
                    period(pool.retry) + "\n";
    return text;
}

}  // namespace

std::string show_status(const control::ServerStatus& server)
{
    std::string text = "tricorn " + safe(server.version) + ", process " +
                       std::to_string(server.pid) + ", " + safe(server.state) + ", up " +
                       period(server.uptime) + "\n";
    text += "configuration: " + (server.config.empty() ? "command line" : safe(server.config)) +
            ", reloads: " + std::to_string(server.reloads) + "\n";
    if (server.successor > 0)
        text += "upgrade: the new server is process " + std::to_string(server.successor) +
                (server.successor_ready ? ", it is ready\n" : ", it is not ready yet\n");
    text += show_troubles(server);
    return text + "\n" + show_pools(server) + "\n" + show_workers(server) + show_exits(server);
}

std::string show_pools(const control::ServerStatus& server)
{
    std::vector<Row> rows{{"POOL",
                           "HANDLER",
                           "SCALING",
                           "TARGET",
                           "LIMIT",
                           "IDLE",
                           "BUSY",
                           "TOTAL",
                           "FULL",
                           "QUEUE",
                           "REQUESTS",
                           "LISTENERS"}};
    for (const control::PoolStatus& pool : server.pools)
        rows.push_back({safe(pool.name),
                        safe(pool.handler),
                        safe(pool.scaling),
                        std::to_string(pool.target),
                        std::to_string(pool.limit),
                        std::to_string(pool.idle),
                        std::to_string(pool.busy),
                        std::to_string(pool.total),
                        std::to_string(pool.full),
                        queue(pool),
                        std::to_string(pool.requests),
                        joined(pool.listeners)});
    return table(rows, "tttnnnnnnnnt");
}

std::string show_workers(const control::ServerStatus& server)
{
    std::vector<Row> rows{
        {"PID", "POOL", "STATE", "AGE", "REQUESTS", "MEMORY", "ELAPSED", "REQUEST"}};
    for (const control::PoolStatus& pool : server.pools)
        for (const control::WorkerStatus& worker : pool.workers)
            rows.push_back(worker_row(pool, worker));
    return table(rows, "nttnnnnt");
}

std::string show_lines(std::string_view text)
{
    std::string shown;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        shown += safe(text.substr(0, end)) + "\n";
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return shown;
}

}  // namespace ctl
