// process.h - starts programs, waits for them, and looks at processes through /proc.
// Units    time is milliseconds; memory is kilobytes; CPU time is clock ticks of /proc.
// Errors   throws std::system_error when a program cannot be started; nullopt when a wait is too
//          long.
// Owner    a Process kills and reaps what it started when it goes out of scope.
#pragma once

#include "tests/system/support/wait.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

struct ExitStatus {
    int code = -1;   // exit code, or -1 when killed
    int signal = 0;  // the signal that killed it, or 0
    bool operator==(const ExitStatus&) const = default;
};

struct Command {
    std::vector<std::string> arguments;  // the first is the program, found by PATH
    std::map<std::string, std::string>
        environment;  // added to ours; an empty value removes the name
    std::string directory;
    std::string in = "/dev/null";
    std::string out = "/dev/null";  // files are appended to
    std::string err = "/dev/null";
    std::map<int, int> descriptors;  // number in the program -> our number
    std::string user;                // root only: run as this user
    std::map<int, rlim_t> limits;    // RLIMIT_... -> both limits
};

class Process {
public:
    explicit Process(const Command& command);
    Process(Process&& other) noexcept;
    Process& operator=(Process&&) = delete;
    ~Process();

    pid_t pid() const { return pid_; }
    bool running();
    void signal(int signo) const;
    // nullopt: still running after patience.
    std::optional<ExitStatus> wait(Milliseconds patience = default_patience);
    void kill();

private:
    pid_t pid_ = -1;
    std::optional<ExitStatus> status_;
};

struct Finished {
    std::optional<ExitStatus> status;
    std::string out;
    std::string err;
};

// Runs a program to its end (or kills it) and collects what it wrote.
Finished run(Command command, Milliseconds patience = default_patience);

// From /proc; nothing for processes that are gone.
std::vector<pid_t> children_of(pid_t pid);
std::vector<pid_t> descendants_of(pid_t pid);
bool alive(pid_t pid);     // exists and is no zombie
char state_of(pid_t pid);  // R S D Z T, 0 when gone
bool any_zombie_beneath(pid_t pid);
std::string title_of(pid_t pid);
std::size_t open_descriptors(pid_t pid);
// The same once nothing has changed for a while: a worker closes things after its reply.
std::size_t settled_descriptors(pid_t pid);
// All of them sleep and go on sleeping: they wait for each other, or for us.
bool wait_asleep(const std::vector<pid_t>& pids, Milliseconds patience = default_patience);
long resident_kilobytes(pid_t pid);
long most_resident_kilobytes(pid_t pid);  // ever since it was started
long cpu_ticks(pid_t pid);
pid_t pid_in(const std::string& path);  // of a pid file; 0: it is not there, or empty

// Orphans of what the tests start come to the test process (it is their subreaper), so none can
// hide. adopted(): children that no Process owns; zombies among them are reaped and not listed.
std::vector<pid_t> adopted();
void kill_adopted();
