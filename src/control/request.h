// request.h - what tricornctl(1) asks of a running server: one line of text, "scale www +2". Pure:
// text in, request out.
// Units    a line has at most longest_request bytes, without its newline.
// Errors   parse_request() says what is wrong and what would be right.
// Owner    the server parses; tricornctl does so first, to refuse what the server would refuse.
// Source   PROTOCOL in tricornctl(1).
#pragma once

#include "base/result.h"

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace control {

inline constexpr std::size_t longest_request = 256;
inline constexpr int most_workers = 4096;  // of a pool, as the setting `workers`

enum class Command { status, config, reload, stop, quit, reopen, upgrade, rollback, scale, kill };

struct Request {
    Command command = Command::status;
    std::string pool;       // scale
    int count = 0;          // scale: workers, or how many more (negative: fewer)
    bool relative = false;  // scale: +N and -N
    pid_t pid = 0;          // kill
};

Result<Request, std::string> parse_request(std::string_view line);

}  // namespace control
