// daemon.h - leaves the terminal, with an exit status that means something.
// Errors   throws std::system_error.
// Owner    main() makes it before anything else that survives a fork is open.
// Source   daemon(7), the SysV part; php-fpm's parent waits for its child in the same way.
#pragma once

#include "base/unique_fd.h"

#include <string>

class Daemon {
public:
    // Not a daemon: report() does nothing.
    Daemon() = default;

    // Forks twice. The process that was called waits for report() and ends with that status; only
    // the daemon returns. It has its own session, / as directory and /dev/null as stdin.
    // log: where it says more than a status, for whoever waits.
    static Daemon detach(const std::string& log);

    // What a daemon has started to follow it is one already.
    static Daemon inherited();

    bool detached() const { return detached_; }

    // Tells the waiting process how it went, once, and leaves its terminal.
    void report(int exit_code) noexcept;

private:
    bool detached_ = false;
    bool reported_ = false;
    UniqueFd status_;
};

// Points descriptors at /dev/null, whatever they were: one of them, or 0 to 2.
void redirect_to_null(int fd) noexcept;
void leave_standard_descriptors() noexcept;

// No controlling terminal any more, for this process and its children, without a session of its
// own: Linux schedules each session as a group, which doubles the tail latency of short programs.
void leave_terminal() noexcept;

// Makes sure that descriptors 0 to 2 are open, so that no other file is taken for one of them.
void open_standard_descriptors();
