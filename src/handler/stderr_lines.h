// stderr_lines.h - a program's stderr, cut into whole lines, each logged with pool, script and
// process, or passed on to the web server as FCGI_STDERR, as the pool's script_stderr says.
// Units    bytes.
// Errors   none. A line longer than 64 KB is logged in pieces, each but the last marked "[...]".
//          What one request writes beyond 1 MB is dropped, which is logged: it must not fill the
//          disk.
// Owner    the Task of the request.
#pragma once

#include "config/settings.h"
#include "fcgi/connection.h"

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace handler {

class StderrLines {
public:
    StderrLines(const config::Pool& pool, fcgi::Connection& client, std::string script, pid_t pid);

    void feed(std::string_view bytes);
    // Nothing follows: what has no line end yet is a line too.
    void end();
    // The reply has ended, so FCGI_STDERR has no place any more: the rest goes to the log.
    void reply_ended() { to_web_ = false; }

private:
    void split(std::string_view bytes);
    void emit(std::string_view line, bool continued);

    fcgi::Connection& client_;
    bool to_log_;
    bool to_web_;
    std::string prefix_;
    std::string partial_;
    std::size_t room_ = 1 << 20;  // bytes that are still passed on
};

}  // namespace handler
