// client.h - asks a running server: connects, sends one line, takes one reply.
// Units    deadlines on the steady clock.
// Errors   ask() throws Unreachable, saying what would help.
// Owner    tricornctl.
#pragma once

#include "base/clock.h"
#include "control/reply.h"

#include <optional>
#include <stdexcept>
#include <string>

#include <sys/types.h>

namespace ctl {

class Unreachable : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct Answer {
    std::string document;  // as it came
    control::Reply reply;
    pid_t server = 0;  // whose socket it is; 0: in another container
};

class Client {
public:
    // Waits at most so long for one answer.
    Client(std::string path, Duration patience) : path_(std::move(path)), patience_(patience) {}

    Answer ask(const std::string& request) const;
    bool listening() const;
    // None when nobody answers.
    std::optional<control::ServerStatus> status() const;

private:
    std::string path_;
    Duration patience_;
};

// Waits until the process has ended; false when the deadline came first.
bool wait_end(pid_t pid, const Client& client, TimePoint deadline);

enum class Takeover {
    done,
    silent,  // the old server is not there any more, and the new one does not answer at this socket
    failed,  // the new server has ended
    late,    // the deadline came first
};

// Waits until the new server answers in place of the one that was stopped, the process of which
// need not end: it may be the first one of a container.
Takeover wait_taken_over(const Client& client, pid_t successor, TimePoint deadline);

}  // namespace ctl
