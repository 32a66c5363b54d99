// access_entry.h - what the access log can tell about one request.
// Units    bytes of the reply's body, without its header.
// Owner    the handler's caller fills one for each request and keeps what the views point to.
#pragma once

#include "base/clock.h"
#include "fcgi/params.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include <sys/types.h>

struct AccessEntry {
    const fcgi::Params& params;
    std::string_view pool = {};
    std::string_view script = {};  // path of the program, empty when none was found
    int status = 0;                // 0: no reply was sent
    std::string_view header = {};  // of the reply, lines ending in CRLF or LF
    std::uint64_t bytes = 0;       // of the reply's body
    std::chrono::system_clock::time_point start = {};
    std::chrono::microseconds elapsed{};
    std::optional<Duration> program_time = {};
    std::optional<int> exit_status = {};  // of the program, when it exited
    std::optional<int> exit_signal = {};  // of the program, when it was killed
    pid_t worker = 0;
};
