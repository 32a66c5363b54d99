// reply.h - what a running server answers to tricornctl(1): one JSON document in one line. Pure:
// structures in, text out, and back.
// Units    seconds, bytes; times of day are UTC, RFC 3339.
// Errors   write_reply() makes valid JSON of ASCII from any bytes: what is not UTF-8 is replaced.
//          read_reply() is empty for what is no reply.
// Owner    the server writes, tricornctl reads.
// Source   php-fpm's status page for what is in it; PROTOCOL in tricornctl(1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace control {

// Of a worker that runs. What the worker says of itself may be lies: it is never more than shown.
struct WorkerStatus {
    pid_t pid = 0;
    std::string state;    // booting, idle, busy, retiring, aborted, stopped
    bool current = true;  // runs the present configuration
    double age = 0;
    std::uint64_t requests = 0;
    std::uint64_t memory = 0;  // resident bytes
    double elapsed = 0;        // of the request in hand
    std::string request;       // "GET /uri", cut; empty: none
    std::string script;        // its program, cut
};

// Of a worker that has ended.
struct WorkerExit {
    std::string time;
    pid_t pid = 0;
    std::string how;  // "was killed by SIGSEGV (Segmentation fault)"
    bool clean = true;
};

struct PoolStatus {
    std::string name;
    std::string handler;
    std::string scaling;     // static, dynamic or ondemand
    int target = 0;          // workers that it shall have now
    int limit = 0;           // and at most
    std::uint64_t full = 0;  // seconds in which all were busy and a connection waited
    int queue = -1;          // connections that wait for a worker; -1: the kernel does not tell
    int queue_size = -1;     // as many as can wait
    int idle = 0;
    int busy = 0;
    int total = 0;               // with those that boot or end
    std::uint64_t requests = 0;  // also of workers that have ended
    bool settled = false;        // all workers that it shall have serve
    double retry = 0;            // workers do not boot: seconds between two tries
    std::vector<std::string> listeners;
    std::vector<WorkerExit> exits;  // the last ones, oldest first
    std::vector<WorkerStatus> workers;
};

struct ServerStatus {
    std::string version;
    pid_t pid = 0;
    double uptime = 0;
    std::string state;          // starting, serving, reloading, on_stop, draining, stopping
    std::string config;         // file; empty: none
    std::uint64_t reloads = 0;  // that succeeded
    std::string reload_error;   // of the last reload, if that failed
    pid_t successor = -1;       // the new server of an upgrade; 0: none; -1: it was not told
    bool successor_ready = false;
    std::string successor_end;  // how the last one ended, if it did not take over
    std::vector<PoolStatus> pools;
};

struct Reply {
    bool ok = true;
    std::string error;    // when it is not
    std::string message;  // what was done, for people
    std::string config;   // as --print-config has it
    pid_t successor = 0;  // to a stop: the new server of an upgrade, which goes on; 0: none
    // To a reload that has moved it: the socket where the server is controlled now; "": nowhere.
    std::optional<std::string> control;
    std::optional<ServerStatus> status;
};

inline Reply refusal(std::string error)
{
    Reply reply;
    reply.ok = false;
    reply.error = std::move(error);
    return reply;
}

std::string write_reply(const Reply& reply);
std::optional<Reply> read_reply(std::string_view document);

}  // namespace control
