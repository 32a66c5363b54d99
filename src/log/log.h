// log.h - the error log of the arbiter and its workers; the only global of the program. A line:
// "2026-11-22 10:11:12.345 +0100 [pid] level: text". When stderr leads to the journal: "<N>text",
// the journal knows time and process.
// Errors   open() throws std::system_error naming the file. Logging itself never fails, throws or
//          waits for long: lines that cannot be written are counted and reported later. A pipe or
//          terminal at stderr is opened a second time (output.h): call open() again after stderr
//          was redirected, or the old one stays open.
// Owner    the process; works before open() (stderr, info) and after fork(). No threads.
// Source   gunicorn's glogging.py for the shape; sd-daemon(3) for the journal's prefixes.
#pragma once

#include "base/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>

namespace logging {

enum class Level { debug, info, warning, error, critical };

struct Target {
    std::string file = "-";  // "-": stderr
    bool syslog = false;     // to syslog instead, as "tricorn", facility daemon
    Level level = Level::info;
    bool plain = false;  // "tricorn: level: text", for a person at a terminal
};

void open(const Target& target);
bool enabled(Level level) noexcept;

// Control characters and bytes that are not UTF-8 are escaped (base/text.h) in every message, so
// one message is always one line. No message is cut.
void write(Level level, std::string_view text);

#define TRICORN_PRINTF __attribute__((format(printf, 1, 2)))
void debug(const char* format, ...) TRICORN_PRINTF;
void info(const char* format, ...) TRICORN_PRINTF;
void warning(const char* format, ...) TRICORN_PRINTF;
void error(const char* format, ...) TRICORN_PRINTF;
void critical(const char* format, ...) TRICORN_PRINTF;
#undef TRICORN_PRINTF

// "debug" ... "critical"; nullopt for anything else.
std::optional<Level> parse_level(std::string_view name);

// After rotation, in the arbiter: opens the file, or the way to syslog, anew. When it cannot be
// opened, that is logged and answered, and the old one stays in use. Empty: all is well.
std::string reopen();

// A descriptor for a worker, which may no longer open the file itself; empty for stderr. In the
// worker adopt() goes on with it.
UniqueFd share();
void adopt(UniqueFd fd);

// In a new worker: what it does to its descriptor must not show in the arbiter.
void separate();

// Before a process enters a chroot, where the way to syslog may be missing: connects to a syslogd
// that was started anew. Later ones are heard of by reopen().
void connect_again();

// What lines are written to, for a process that closes everything else; -1: nothing at present.
int descriptor() noexcept;

}  // namespace logging
