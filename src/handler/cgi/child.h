// child.h - starts a CGI program and holds on to it until it is reaped.
// Units    none.
// Errors   spawn() answers the errno of the step that failed, execve(2) included.
// Owner    the handler keeps one Spawner for each worker; the Relay owns the Child. Destroying a
//          Child kills its process group and reaps it: no program outlives its request.
// Source   clone(2), execveat(2), pidfd_open(2); CLONE_VM | CLONE_VFORK because fork's copy of the
//          page tables costs more than everything else that a worker does for a request.
#pragma once

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "config/settings.h"
#include "handler/cgi/environment.h"
#include "handler/cgi/script.h"

#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

namespace cgi {

class Child {
public:
    Child(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
    Child(Child&& other) noexcept;
    Child& operator=(Child&&) = delete;
    ~Child();

    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); }  // readable once the program has exited

    // To the whole process group, and to the program itself where it has left that. It is not
    // reaped before the end, so its number cannot have been given to somebody else.
    void signal(int signo) const noexcept;

    // How the program ended; nullopt while it runs. Does not reap.
    std::optional<ExitStatus> exit_status() const noexcept;

    UniqueFd input;  // our ends of its stdin, stdout and stderr; non-blocking
    UniqueFd output;
    UniqueFd errors;

private:
    pid_t pid_;
    UniqueFd pidfd_;
};

class Spawner {
public:
    // Throws std::system_error.
    explicit Spawner(const config::ResourceLimits& limits);
    Spawner(const Spawner&) = delete;
    Spawner& operator=(const Spawner&) = delete;
    ~Spawner();

    // Without a body the program's stdin is /dev/null, or an empty pipe where there is none.
    Result<Child, int> spawn(const Script& script, const Environment& environment, bool body);

    struct Limit {
        __rlimit_resource_t resource;
        rlim_t value;
    };

private:
    UniqueFd nothing_;  // to read
    void* stack_;
    std::vector<Limit> limits_;
};

}  // namespace cgi
