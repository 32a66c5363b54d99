// notify.h - what systemd tells us (sockets) and what we tell it (how the server is doing). notify
// does nothing when systemd does not ask for it (NOTIFY_SOCKET), or without libsystemd.
// Units    watchdog_interval() in milliseconds.
// Errors   none: a service manager that does not listen is no reason to stop serving.
// Owner    the arbiter.
// Source   sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3); gunicorn's systemd.py.
#pragma once

#include "base/clock.h"
#include "base/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace net {

// Sockets handed over by systemd (LISTEN_FDS), close-on-exec; the variables leave the environment.
struct InheritedSocket {
    UniqueFd fd;
    std::string name;  // FileDescriptorName=, else ""
};
std::vector<InheritedSocket> listen_fds();

// The same variables read without libsystemd: how many descriptors from 3 on, and their names.
// Empty unless `pid` is that of the process `self` and all of it makes sense.
std::vector<std::string> read_listen_names(const char* pid,
                                           const char* fds,
                                           const char* names,
                                           pid_t self);

namespace notify {

void ready(std::string_view status);  // after start-up, and at the end of each reload
void reloading();                     // with the time that Type=notify-reload asks for
void stopping();
void status(std::string_view text);  // one line for `systemctl status`
void main_pid(pid_t pid);            // after a binary upgrade: the new arbiter
void watchdog();                     // still alive

// How often watchdog() is due: half of WatchdogSec; nullopt when it is off.
std::optional<Duration> watchdog_interval();

}  // namespace notify

}  // namespace net
