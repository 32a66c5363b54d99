// output.h - the descriptor behind a log: a file, stdout, stderr or syslog. A line goes out in one
// write(2), or is one message.
// Units    lines with their newline, bytes.
// Errors   open() throws std::system_error naming the file; afterwards nothing throws: a line that
//          cannot be written (disk full, reader gone, pipe full for longer than a moment) is lost
//          and counted. The program ignores SIGPIPE.
// Owner    the error log and each access log.
// Source   glibc's syslog(3) for the form of a message; not used, since it waits for syslogd(8).
#pragma once

#include "base/unique_fd.h"

#include <cstdint>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace logging {

class Output {
public:
    // Writes to descriptor 1 or 2, or to any other that outlives this object. A pipe or terminal is
    // opened once more where that works: only our own description of it may be non-blocking.
    static Output standard(int fd);

    // Creates the file (0640) or appends to it.
    static Output file(std::string path);

    // Connects to syslogd(8); when it cannot be reached, each line tries again. Lines have to begin
    // with syslog_head().
    static Output syslog();

    // False: lost and counted. A failed write does not wait again before one has succeeded.
    bool write(std::string_view line) noexcept;

    std::uint64_t lost() const noexcept { return lost_; }
    void clear_lost() noexcept { lost_ = 0; }
    int error() const noexcept { return error_; }  // errno of the last failure

    // Opens the file, or the way to syslog, anew by its path. False when it could not be opened
    // (error() says why): the old one stays in use. Without a path there is nothing to do.
    bool reopen() noexcept;

    // A descriptor for another process, of an open file description of its own where that can be:
    // what the other one does to it, such as making it block, must not show here.
    UniqueFd share() const noexcept;
    // In a process that was forked: goes on with a description of its own.
    void separate() noexcept;

    // A new connection to syslog, if this leads there.
    void connect_again() noexcept;

    // Goes on with a descriptor that another process has opened.
    void adopt(UniqueFd fd) noexcept;

    int descriptor() const noexcept { return fd_; }
    const std::string& path() const noexcept { return path_; }  // empty: stdout or stderr
    bool is_syslog() const noexcept { return syslog_; }

private:
    Output() = default;
    bool write_message(std::string_view line) noexcept;
    bool write_all(std::string_view bytes) noexcept;
    ssize_t write_some(std::string_view bytes) const noexcept;
    bool wait_writable(int& patience_ms) const noexcept;

    std::string path_;
    UniqueFd owned_;  // empty: fd_ is borrowed
    int fd_ = -1;
    bool syslog_ = false;
    bool socket_ = false;
    bool blocking_ = false;  // a pipe or terminal that could not be opened again
    bool cut_ = false;       // the last line went out in part: the next one starts a new line
    int error_ = 0;
    std::uint64_t lost_ = 0;
};

// "<30>Nov 30 10:11:12 tricorn[4711]: ", for a severity of syslog(3).
std::string syslog_head(int severity);

}  // namespace logging
