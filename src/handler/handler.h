// handler.h - what a worker does with a request: a Handler starts a Task for each, and the Task is
// driven by readiness and deadlines, so that every worker class can run it.
// Units    sizes in bytes.
// Errors   a Handler's constructor throws (StartError, std::system_error): the worker cannot boot.
//          Tasks do not throw: whatever goes wrong becomes a reply and a line in the error log.
// Owner    the worker owns its Handler and the Tasks; the connection outlives the Task.
#pragma once

#include "base/clock.h"
#include "base/process.h"
#include "config/settings.h"
#include "fcgi/connection.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <poll.h>

namespace handler {

// What the access log and the scoreboard know of a request once it has been served.
struct Outcome {
    int status = 0;                // of the reply; 499: the client left before there was one
    std::string header;            // of the reply, as it was sent
    std::uint64_t body_bytes = 0;  // of the reply
    std::string script;            // path of the program, empty when none was found
    std::optional<Duration> program_time;
    std::optional<ExitStatus> exit;
    bool failed = false;  // the reply is an error of ours, was cut short, or has reached nobody
};

class Task {
public:
    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    virtual ~Task() = default;

    // Appends the descriptors to wait for, always as many, those not of interest now with fd -1;
    // answers until when.
    virtual TimePoint prepare(std::vector<pollfd>& set) = 0;

    // Does what can be done without waiting. `ready` is what prepare() appended, as poll(2) left
    // it.
    virtual void advance(std::span<const pollfd> ready, TimePoint now) = 0;

    // The reply is delivered or given up, and nothing of the request is left.
    virtual bool done() const = 0;

    // The server is stopping at once: ends the request as quickly as can be done in order.
    virtual void stop(TimePoint now) = 0;

    const Outcome& outcome() const { return outcome_; }

protected:
    Outcome outcome_;
};

class Handler {
public:
    Handler() = default;
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;
    virtual ~Handler() = default;

    // The head of the request is complete.
    virtual std::unique_ptr<Task> start(fcgi::Connection& client, TimePoint now) = 0;
};

}  // namespace handler
