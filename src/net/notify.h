// notify.h - tells systemd how the server is doing. Does nothing when it was not started by systemd
// (no NOTIFY_SOCKET), or was built without libsystemd.
// Units    watchdog_interval() in milliseconds.
// Errors   none: a service manager that does not listen is no reason to stop serving.
// Owner    the arbiter.
// Source   sd_notify(3), sd_watchdog_enabled(3).
#pragma once

#include "base/clock.h"

#include <optional>
#include <string_view>

#include <sys/types.h>

namespace net::notify {

void ready(std::string_view status);  // after start-up, and at the end of each reload
void reloading();                     // with the time that Type=notify-reload asks for
void stopping();
void status(std::string_view text);  // one line for `systemctl status`
void main_pid(pid_t pid);            // after a binary upgrade: the new arbiter
void watchdog();                     // still alive

// How often watchdog() is due: half of WatchdogSec; nullopt when it is off.
std::optional<Duration> watchdog_interval();

}  // namespace net::notify
