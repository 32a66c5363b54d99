// access_log.h - one line for each request, as gunicorn formats it, or one JSON object.
//
// Atoms    %(h)s REMOTE_ADDR   %(l)s "-"   %(u)s REMOTE_USER   %(t)s [start of the request]
//          %(r)s request line   %(m)s method   %(U)s path   %(q)s query   %(H)s protocol
//          %(s)s status   %(B)s bytes of the body   %(b)s the same, "-" for 0   %(f)s referer
//          %(a)s user agent   %(T)s seconds   %(M)s milliseconds   %(D)s microseconds
//          %(L)s seconds with a fraction   %(p)s <pid> of the worker
//          %({NAME}i)s request header   %({NAME}o)s header of the reply   %({NAME}e)s parameter
//          %(script)s program   %(pool)s   %(program_time)s milliseconds   %(exit)s exit status of
//          the program, or its signal (SIGSEGV)   %% a percent sign
// default  %(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(script)s
//          %(program_time)s %(exit)s
// json     time, pool, remote_addr, remote_user, method, uri, protocol, host, status, bytes,
//          referer, user_agent, script, request_ms, program_ms, exit, signal, pid; what is not
//          known is null. Bytes that are not UTF-8 become U+FFFD.
//
// Errors   the constructor throws std::system_error naming the file and std::invalid_argument for a
//          format that check_format() refuses. Writing never fails, throws or waits for long.
// Owner    the arbiter, one for each pool; workers use their copy.
// Source   gunicorn's glogging.py (atoms); Apache mod_log_config (escapes in values).
#pragma once

#include "base/clock.h"
#include "fcgi/params.h"
#include "log/output.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

struct AccessEntry {
    const fcgi::Params& params;
    std::string_view pool;
    std::string_view script;  // path of the program, empty when none was found
    int status = 0;           // 0: no reply was sent
    std::string_view header;  // of the reply, lines ending in CRLF or LF
    std::uint64_t bytes = 0;  // of the reply's body
    std::chrono::system_clock::time_point start;
    std::chrono::microseconds elapsed{};
    std::optional<Duration> program_time;
    std::optional<int> exit_status;  // of the program, when it exited
    std::optional<int> exit_signal;  // of the program, when it was killed
    pid_t worker = 0;
};

class AccessLog {
public:
    // file: "" (none: write() does nothing), "-" (stdout), "syslog", or a path.
    AccessLog(const std::string& format, const std::string& file);

    // What is wrong with a format, naming the atom; nullopt when nothing is.
    static std::optional<std::string> check_format(const std::string& format);

    bool enabled() const noexcept { return kind_ != Kind::none; }
    void write(const AccessEntry& entry);

    // As in log.h: the arbiter opens anew and hands the descriptor on, the workers adopt it.
    UniqueFd reopen();
    void adopt(UniqueFd fd);
    int descriptor() const noexcept;  // -1: none, or syslog

    using Appender = void (*)(std::string& out, const AccessEntry& entry, const std::string& name);
    struct Piece {
        Appender append = nullptr;
        std::string text;  // literal text, or the name of a header or parameter
    };

private:
    enum class Kind { none, output, syslog };

    void send(std::string_view line);

    Kind kind_ = Kind::none;
    bool json_ = false;
    std::vector<Piece> pieces_;
    std::optional<logging::Output> output_;
    std::string line_;      // kept, so that a line costs no allocation
    bool failing_ = false;  // reported once
};
