// wait.h - waits for conditions with a deadline, never for a fixed time.
// Units    time is std::chrono::milliseconds, steady clock.
// Errors   none: false when the deadline has passed.
// Owner    every system test and the other support modules.
#pragma once

#include <chrono>
#include <functional>

using Milliseconds = std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Long enough for a machine with all cores busy; a test that passes never waits for it.
constexpr Milliseconds default_patience{10000};

// Asks every few milliseconds; asks once more after the deadline.
bool wait_for(const std::function<bool()>& condition, Milliseconds patience = default_patience);

// For behaviour that lies in time (a pause between two pieces), not for waiting until something is
// done.
void pause_for(Milliseconds time);

class Stopwatch {
public:
    Milliseconds elapsed() const;

private:
    Clock::time_point start_ = Clock::now();
};
