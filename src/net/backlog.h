// backlog.h - how many connections wait in the queue of a listening socket.
// Units    connections.
// Errors   empty: the kernel does not tell (no sock_diag(7) for Unix sockets, no such socket).
// Owner    the caller.
// Source   tcp(7), TCP_INFO; sock_diag(7), UNIX_DIAG_RQLEN.
#pragma once

#include <optional>

namespace net {

struct Backlog {
    unsigned waiting = 0;
    unsigned size = 0;  // of the queue, as listen(2) has made it
};

// Never waits.
std::optional<Backlog> backlog_of(int listener) noexcept;

}  // namespace net
