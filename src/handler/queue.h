// queue.h - how long a request has waited until a worker took it.
// Units    milliseconds; rounded down, and never more than the true wait.
// Errors   none: what cannot be told is zero.
// Owner    the caller.
// Source   tcp(7), TCP_INFO; X-Request-Start as New Relic, Puma and Passenger read it. The kernel
//          keeps no time of a connection to a Unix socket.
#pragma once

#include "base/clock.h"

#include <chrono>
#include <string_view>

namespace handler {

// From a time that the web server sent: "t=1700000000.123", in seconds, milliseconds or
// microseconds since 1970. A time in the future, or more than a day ago, is none.
Duration wait_since(std::string_view start, std::chrono::system_clock::time_point now);

// Since the last byte came in over a TCP connection: web servers send a request in one go.
Duration silence_of(int socket);

}  // namespace handler
