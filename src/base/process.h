// process.h - small things about processes: how one ended, its title, its user.
// Errors   as stated at each function.
// Source   waitid(2), prctl(2); the order of dropping privileges is suexec's and php-fpm's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

// How a process ended: an exit code, or the signal that killed it.
struct ExitStatus {
    bool signalled = false;
    int code = 0;

    bool clean() const { return !signalled && code == 0; }
    // What END_REQUEST carries: the exit code, or 128 + signal as shells have it.
    unsigned app_status() const { return static_cast<unsigned>(signalled ? 128 + code : code); }
};

// "exited with status 3", "was killed by SIGSEGV (Segmentation fault)".
std::string describe(const ExitStatus& status);

// "SIGTERM"; "signal 99" for one without a name.
std::string signal_name(int signo);

// Keeps argv's memory so that set_process_title can write there. Call it first in main().
void init_process_title(int argc, char** argv);

// What ps(1) shows; cut to the room that argv had.
void set_process_title(const std::string& title) noexcept;

struct Identity {
    uid_t uid = 0;
    gid_t gid = 0;
    std::string user;
    std::vector<gid_t> groups = {};  // all of them, gid included

    bool operator==(const Identity&) const = default;
};

// The number of a user or a group; 4294967295 is nobody's, and means "leave it" to chown(2).
std::optional<std::uint32_t> parse_id(std::string_view text);

// Looks a user up, by name or number, its group unless one is named, and its other groups. Throws
// StartError (configuration) that says what is unknown.
Identity find_identity(const std::string& user, const std::string& group);

// Becomes that user for good: groups, gid, uid; then reads everything back. Looks nothing up, so it
// works in a chroot. Throws std::system_error; the caller must end the process.
void become(const Identity& identity);

// Asks for `signo` when the parent dies, and answers false if it is dead already. After become():
// changing the user clears it.
bool follow_parent(pid_t parent, int signo) noexcept;

// Resident memory of a process in bytes; 0 when it cannot be told.
std::uint64_t resident_memory(pid_t pid) noexcept;

// Also on a kernel, or beneath a container's filter, that has no close_range(2).
void close_descriptors(unsigned first, unsigned last) noexcept;

// Reaps children that have ended and that nobody else waits for.
void reap_strays() noexcept;
