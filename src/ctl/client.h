// client.h - asks a running server: connects, sends one line, takes one reply.
// Units    deadlines on the steady clock.
// Errors   ask() throws Unreachable, saying what would help.
// Owner    tricornctl.
#pragma once

#include "base/clock.h"
#include "control/reply.h"

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
    explicit Client(std::string path) : path_(std::move(path)) {}

    Answer ask(const std::string& request) const;
    bool listening() const;
    // The process that answers; 0: nobody does.
    pid_t server() const;

private:
    std::string path_;
};

// Waits until the process has ended; false when the deadline came first.
bool wait_end(pid_t pid, const Client& client, TimePoint deadline);

// Waits until the new server answers in place of the one that was stopped, which need not end (the
// first process of a container). A new one that has no such socket any more is not waited for when
// the old one has ended. False when the deadline came first.
bool wait_taken_over(const Answer& stopped, const Client& client, TimePoint deadline);

}  // namespace ctl
