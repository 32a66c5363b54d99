// signals.h - signals are blocked and read from a descriptor: no handlers, no races with poll(2).
// Errors   the constructor throws std::system_error.
// Owner    the arbiter has one; each worker makes its own after fork.
// Source   signalfd(2).
#pragma once

#include "base/unique_fd.h"

#include <csignal>
#include <initializer_list>
#include <optional>

#include <sys/types.h>

struct Signal {
    int number = 0;
    pid_t sender = 0;  // 0: the kernel, a terminal, or another process namespace
    uid_t user = 0;    // the sender's
};

class SignalQueue {
public:
    // Blocks these signals, and these only, for the calling process.
    SignalQueue(std::initializer_list<int> signals);

    int fd() const { return fd_.get(); }  // readable when a signal waits

    // The next signal; nullopt when none waits. Signals of one kind may have been merged.
    std::optional<Signal> next() noexcept;

private:
    UniqueFd fd_;
};

// Undoes what whoever started us, or we, have ignored or blocked.
void reset_signals() noexcept;

// A peer that has left, and a file that may not grow, are errors of write(2), not reasons to die.
inline constexpr int write_signals[] = {SIGPIPE, SIGXFSZ};
void ignore_write_signals() noexcept;
