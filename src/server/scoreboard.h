// scoreboard.h - what a worker says of itself, in memory that it shares with the arbiter. Each
// worker has a mapping of its own and can write no other. There is no pointer, index, length or
// process id in it, and the arbiter, which may be root, takes nothing from it on trust: it works on
// a bounded copy, and the worst that a hostile worker can do is to lie about itself.
// Units    times on the steady clock, in nanoseconds in the mapping.
// Errors   the constructor throws std::system_error.
// Owner    the arbiter makes one before each fork; the child inherits it.
// Source   Apache's and php-fpm's scoreboards, and what trusting them led to: CVE-2019-0211,
//          CVE-2021-21703.
#pragma once

#include "base/clock.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace server {

struct WorkerPulse {
    bool booted = false;
    TimePoint last_beat;
    std::uint64_t requests = 0;
    bool busy = false;
    bool due = false;  // asks to be replaced
    TimePoint request_started;
    TimePoint idle_since;  // the end of the last request, or the boot
};

struct WorkerReport : WorkerPulse {
    std::string request;  // "GET /uri", cut
    std::string script;   // cut
};

class Slot {
public:
    Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot();

    // In the arbiter, once the worker is forked: later workers must not inherit the mapping.
    void hide_from_children() noexcept;
    // Copies whose times are not in the future.
    WorkerPulse pulse(TimePoint now) const;
    WorkerReport report(TimePoint now) const;

    // In the worker:
    void beat(TimePoint now) noexcept;
    void booted(TimePoint now) noexcept;
    void begin_request(std::string_view request, TimePoint now) noexcept;
    void set_script(std::string_view script) noexcept;
    void end_request(TimePoint now) noexcept;
    void ask_to_go() noexcept;

private:
    struct Shared;
    Shared* shared_;
};

}  // namespace server
