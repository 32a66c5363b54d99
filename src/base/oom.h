// oom.h - whether the kernel has killed processes for want of memory. A process that it kills so
// and one that got SIGKILL from somebody look the same to their parent.
// Units    processes killed.
// Errors   none: without a counter nobody knows.
// Owner    the caller.
// Source   cgroups(7); memory.events of version 2, memory.oom_control of version 1; /proc/vmstat
//          for what is in no control group.
#pragma once

#include "base/clock.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oom {

// Where the counter of a process may be, the best place first; `cgroup` is its /proc/PID/cgroup.
std::vector<std::string> counter_files(std::string_view cgroup);

// The counter in such a file; empty: there is none.
std::optional<std::uint64_t> read_counter(std::string_view file);

// The counter of this process's control group, since this object was made.
class Watch {
public:
    Watch();
    // To be called often: a kill is dated by it.
    void look(TimePoint now);
    // Whether it has killed in the last seconds: a process that is killed may take some to end.
    // Empty: unknown.
    std::optional<bool> killed_lately(TimePoint now);

private:
    std::optional<std::uint64_t> read() const;

    UniqueFd file_;
    std::optional<std::uint64_t> last_;
    TimePoint last_kill_ = TimePoint::min();
};

}  // namespace oom
