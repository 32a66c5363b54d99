// hooks.h - runs the administrator's commands when the server is ready, was reloaded, has lost a
// worker or is to stop. A command may fail, hang or never end: each is given hook_timeout, a few
// run at once, and but for a graceful stop nothing waits for them.
// Units    none.
// Errors   none: what fails is logged as a warning.
// Owner    the Arbiter, which reaps the commands and calls tend() in its loop.
// Source   gunicorn's server hooks, uWSGI's --exec-* and --hook-*; preStop of Kubernetes.
#pragma once

#include "base/clock.h"
#include "base/process.h"
#include "config/settings.h"

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace server {

class Hooks {
public:
    // Takes the commands of a configuration; what runs is not disturbed.
    void configure(const config::Global& global);

    // The present configuration serves: on_ready, the first time; after that it came by a reload.
    void ready();
    void reload_failed();
    void worker_exited(const std::string& pool,
                       pid_t pid,
                       std::uint64_t requests,
                       const ExitStatus& status);

    // The server is to stop: starts on_stop, once, if it was ever ready and no other one serves on
    // in its place. A stop that is not graceful hurries all commands; the second one ends them.
    void stop(bool graceful, bool other_serves);
    bool stop_runs() const { return stop_ == Stop::runs; }
    bool stop_over() const { return stop_ == Stop::over; }

    // Ends commands whose time is up.
    void tend(TimePoint now);
    TimePoint next_deadline() const;

    // A child that nobody else knows has ended and is not reaped yet: was it one of ours?
    bool ended(pid_t pid, const ExitStatus& status);

    bool empty() const { return running_.empty(); }

private:
    enum class Event { ready, reload, worker_exit, stop };
    enum class Phase { runs, told, killed };
    enum class Stop { no, runs, over };
    using Variables = std::vector<std::string>;  // NAME=value

    struct Running {
        Event event;
        pid_t pid;
        TimePoint deadline;
        Phase phase = Phase::runs;
    };

    static const char* key(Event event);
    const std::string& command(Event event) const;
    bool start(Event event, const Variables& more);
    bool has_room(Event event);
    void report_dropped();
    void hurry(TimePoint now);
    Duration limit() const;
    bool end(Running& hook, TimePoint now);

    config::Global global_;
    std::vector<Running> running_;
    std::uint64_t dropped_ = 0;
    bool served_ = false;
    bool hurried_ = false;
    Stop stop_ = Stop::no;
};

}  // namespace server
