// upgrade.h - a new server beside the old one: SIGUSR2 starts what the command line names anew,
// with the listening sockets. It tells the old one when it is ready. TERM to the old server
// completes the upgrade, TERM to the new one takes it back.
// Units    none.
// Errors   Successor::start() throws std::system_error; a program that cannot be run is an exit
//          status of the new server.
// Owner    the Arbiter: a Successor in the old server, a Predecessor in the new one.
// Source   gunicorn arbiter.py reexec(), maybe_promote_master(); nginx's and unicorn's USR2;
//          sd_listen_fds(3) for the sockets.
#pragma once

#include "base/process.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "config/config.h"

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace server {

// What ps(1) shows of a server, and when it lets its workers finish: other servers look at it.
inline constexpr const char* arbiter_title = "tricorn: arbiter";
inline constexpr const char* stopping_title = "tricorn: arbiter (stopping)";

// A server is the first process: whoever stops the container can tell that one only, whichever
// server serves.
bool in_container();

// A listening socket for the new server. The name goes to LISTEN_FDNAMES.
struct HandedSocket {
    int fd;
    std::string name;
};

class Successor {
public:
    // A daemon's new server has no terminal to say why it cannot start: it gets the log.
    void start(const config::Invocation& invocation,
               const std::vector<HandedSocket>& sockets,
               bool daemon);

    bool running() const { return pid_ != 0; }
    pid_t pid() const { return pid_; }
    // It has said that it serves. One of a version that does not know how to never does.
    bool ready() const { return ready_; }
    // How the last one ended, in words; empty: none has.
    const std::string& last_end() const { return last_end_; }
    // Runs, but may still fail.
    bool starting() const { return running() && !ready_; }

    int fd() const { return report_.get(); }  // readable when there is something to listen to
    void listen();
    // The service manager has been told that the new server is the main process now.
    void tell_main();

    // The reaper asks whether this child is the new server, and tells how it ended.
    bool ended(pid_t pid, const ExitStatus& status);

    // For the first process of a container, which cannot go: hands its signals on until the new
    // server, and those that follow it, have ended. Answers the exit code of the last one.
    int mind(SignalQueue& signals);

private:
    [[noreturn]] void become(const config::Invocation& invocation,
                             const std::vector<HandedSocket>& sockets,
                             int line,
                             int report) const;
    void hand_on(int signo);
    std::optional<int> reap_servers();

    pid_t pid_ = 0;
    bool ready_ = false;
    std::string last_end_;
    bool stop_next_ = false;  // this one stops already: TERM was for the server that follows
    UniqueFd line_;           // a word for tell_main(); closed when this server ends, however
    UniqueFd report_;         // until the new server has said that it is ready
};

class Predecessor {
public:
    // Not started by another server: exists() is false.
    Predecessor() = default;
    // Reads, and takes away, what the old server has left in the environment. Until it has gone the
    // service manager listens to that one.
    static Predecessor find();

    bool exists() const { return pid_ != 0; }
    pid_t pid() const { return pid_; }
    int fd() const { return line_.get(); }  // readable when there is news
    // gave_way: it drains, and the service manager listens to this server from now on.
    enum class News { none, gave_way, gone };
    News listen();
    bool goes_on() const;  // exists, and has not begun to stop
    void tell_ready();
    // This server is on its own now.
    void forget();

private:
    void take_notify_socket();

    pid_t pid_ = 0;
    UniqueFd line_;
    UniqueFd report_;  // none: the old server does not listen, or has heard it
    std::optional<std::string> notify_socket_;
};

}  // namespace server
