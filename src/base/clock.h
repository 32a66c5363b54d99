// clock.h - the one clock of the program: steady, never set back by an administrator or by NTP.
// Units    Duration is std::chrono::milliseconds; TimePoint is on the steady clock.
// Errors   none.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = std::chrono::milliseconds;

// A deadline that never comes; so that "no limit" needs no special case in a comparison.
inline constexpr TimePoint never = TimePoint::max();

// The deadline `limit` after `now`; a limit of zero means "no limit".
inline TimePoint deadline_after(TimePoint now, Duration limit)
{
    return limit.count() > 0 ? now + limit : never;
}

// For people: no finer than milliseconds.
inline double seconds_between(TimePoint from, TimePoint to)
{
    return static_cast<double>(std::chrono::duration_cast<Duration>(to - from).count()) / 1000;
}

// What poll(2) and epoll_wait(2) take: -1 for never, else milliseconds rounded up, so that a
// wait never ends just before its deadline and spins.
inline int poll_timeout(TimePoint deadline, TimePoint now)
{
    if (deadline == never)
        return -1;
    if (deadline <= now)
        return 0;
    const auto left = std::chrono::ceil<Duration>(deadline - now).count();
    return static_cast<int>(std::min<decltype(left)>(left, std::numeric_limits<int>::max()));
}
