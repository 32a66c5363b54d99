// access_log.h - one line for each request; access_format.h says what stands in it.
// Errors   the constructor throws std::system_error naming the file and std::invalid_argument for a
//          format that check_format() refuses. Writing never fails, throws or waits for long.
// Owner    the arbiter, one for each pool; workers use their copy.
#pragma once

#include "base/unique_fd.h"
#include "log/access_entry.h"
#include "log/access_format.h"
#include "log/output.h"

#include <optional>
#include <string>
#include <string_view>

class AccessLog {
public:
    // file: "" (none: write() does nothing), "-" (stdout), "syslog", or a path.
    AccessLog(const std::string& format, const std::string& file);

    // What is wrong with a format, naming the atom; nullopt when nothing is.
    static std::optional<std::string> check_format(const std::string& format);

    bool enabled() const noexcept { return output_.has_value(); }
    void write(const AccessEntry& entry);

    // As in log.h: the arbiter opens anew and shares, the workers adopt.
    std::string reopen();
    UniqueFd share() const;
    void adopt(UniqueFd fd);
    void connect_again();
    int descriptor() const noexcept;  // -1: none

private:
    void send(std::string_view line);

    AccessFormat format_;
    std::optional<logging::Output> output_;  // empty: no log
    std::string line_;                       // kept, so that a line costs no allocation
};
