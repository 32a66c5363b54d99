// throttle.h - lets one message through now and then and counts those that it holds back, so that
// nobody can fill a log.
// Owner    whoever writes the messages.
#pragma once

#include "base/clock.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

class Throttle {
public:
    explicit Throttle(Duration interval) : interval_(interval) {}

    // nullopt: hold this one back. Else how many were held back since the last one.
    std::optional<std::uint64_t> pass(TimePoint now)
    {
        if (now < next_) {
            ++held_;
            return std::nullopt;
        }
        next_ = now + interval_;
        return std::exchange(held_, 0);
    }

    // " (and 5 before it)" for the message that is let through; empty: none was held back.
    static std::string describe(std::uint64_t held)
    {
        return held == 0 ? "" : " (and " + std::to_string(held) + " before it)";
    }

private:
    Duration interval_;
    TimePoint next_ = TimePoint::min();
    std::uint64_t held_ = 0;
};
