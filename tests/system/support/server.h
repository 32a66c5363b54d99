// server.h - one running tricorn in a directory of its own, with the test programs beneath root/.
// Units    time is milliseconds.
// Errors   throws std::runtime_error when the server does not come up (with its log).
// Owner    the test. The destructor stops the server and CHECKs that nothing of it is left: no
//          process, no socket file, no report of a sanitizer.
#pragma once

#include "tests/system/support/fastcgi_client.h"
#include "tests/system/support/process.h"
#include "tests/system/support/temp_dir.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

struct Setup {
    std::string
        pool{};  // lines of [www]; a key that stands here replaces our default, "key =" removes it
    std::string global{};                  // lines of [global]
    std::string more{};                    // further sections
    std::vector<std::string> arguments{};  // beside -c FILE
    std::map<std::string, std::string> environment{};
    std::map<int, rlim_t> limits{};
    std::map<int, int> descriptors{};  // number in the server -> our number
    bool wait = true;                  // until it is ready: all workers have booted
};

class Server {
public:
    explicit Server(const Setup& setup = {});
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    const TempDir& directory() const { return directory_; }
    std::string root() const { return directory_ / "root"; }
    std::string socket() const { return directory_ / "s"; }
    std::string address() const { return "unix:" + socket(); }
    std::string configuration() const { return directory_ / "tricorn.conf"; }

    // Requests as nginx sends them; the script is a name beneath root/.
    Request get(const std::string& script, const std::string& query = "") const;
    Request post(const std::string& script, const std::string& query, std::string body) const;
    Reply ask(const Request& request, Milliseconds patience = default_patience) const;
    // A GET of the program `act` with these steps.
    Reply act(const std::string& steps) const { return ask(get("act", steps)); }
    // One request is answered with 200.
    bool serves() const { return serves_at(address()); }
    bool serves_at(const std::string& address) const;

    // Writes the configuration anew (the caller signals HUP) or adds a program.
    void configure(const Setup& setup);
    std::string add_program(const std::string& name,
                            std::string_view text,
                            mode_t mode = 0755) const;

    pid_t pid() const { return process_->pid(); }
    Process& process() { return *process_; }
    void signal(int signo) const { process_->signal(signo); }
    std::vector<pid_t> workers() const;
    pid_t worker() const;  // the first; throws when there is none for long
    bool wait_workers(std::size_t count, Milliseconds patience = default_patience) const;
    std::vector<pid_t> programs() const;  // everything that runs beneath the workers
    // What was sent to stderr, and waiting until it holds a text.
    std::string log() const;
    bool wait_log(std::string_view text, Milliseconds patience = default_patience) const;

    // Stops it with the signal; nullopt: it did not end in time.
    std::optional<ExitStatus> stop(int signo, Milliseconds patience = default_patience);
    void start(const Setup& setup = {});  // again, after a stop
    // The socket file may stay: the server was killed, or the test holds it.
    void leaves_socket() { socket_stays_ = true; }
    // The default configuration of a test server.
    std::string configuration_text(const Setup& setup) const;

private:
    void launch(const Setup& setup);
    void check_nothing_left();

    TempDir directory_;
    std::optional<Process> process_;
    bool socket_stays_ = false;
};

// Children of an arbiter by what their titles say. Other processes may come to it: orphans of
// killed workers.
std::vector<pid_t> workers_of(pid_t arbiter);
std::vector<pid_t> hook_commands_of(pid_t arbiter);

// A module that does not boot before release(). The server that is to load it needs the
// environment.
struct SlowModule {
    SlowModule();
    std::string pool() const;
    std::map<std::string, std::string> environment() const { return {{"GO", go}}; }
    void release() const;

    TempDir place;
    std::string go = place / "go";
};

// Where things are: the environment of the test run says it.
std::string binary();
bool is_sanitized();  // the binary has a sanitizer, which needs system calls and memory of its own
std::string source_file(const std::string& name);
std::string build_file(const std::string& name);
// A copy of it where every user may read and run it: the build may lie in root's home.
std::string public_file(const std::string& name);

// Runs the binary with arguments to its end.
Finished tricorn(std::vector<std::string> arguments,
                 std::map<std::string, std::string> environment = {});

// The command of one whose system calls of these names, "a,b", fail as strace(1) is told:
// "error=EIO".
Command failing(const std::string& calls,
                const std::string& how,
                const std::vector<std::string>& arguments);

// The command of one that systemd-socket-activate starts at the first connection to the path.
Command activated(const std::string& path, const std::vector<std::string>& arguments);

// A step's argument as `act` wants it: every byte that is not a letter or digit as %XX.
std::string encode(std::string_view bytes);
