// listener.h - a listening socket: bound by us, inherited, or from systemd. Always non-blocking.
// Units    backlog is connections (the kernel caps it at net.core.somaxconn).
// Errors   open() and adopt() throw StartError (exit 1) saying what is in the way.
// Owner    the arbiter; workers inherit the descriptors and never unlink.
// Source   gunicorn's sock.py; php-fpm's test connect; accept(2) for the errors.
#pragma once

#include "base/unique_fd.h"
#include "net/address.h"

#include <string>

#include <sys/types.h>

namespace net {

struct ListenOptions {
    int backlog = 2048;
    mode_t mode = 0660;  // of a Unix socket, set before anyone can connect
    std::string owner;   // name or number; empty: ours
    std::string group;
    int attempts = 5;  // a second apart, while a TCP port or a dead server's socket is in use
};

class Listener {
public:
    // Unix: a socket file that nobody listens on is replaced; a live one, and anything that is no
    // socket, is not. TCP: SO_REUSEADDR; [::] takes IPv6 only. fd://N: as adopt().
    static Listener open(const Address& address, const ListenOptions& options);

    // Takes a listening stream socket that somebody else has bound; never unlinks it.
    static Listener adopt(UniqueFd fd);
    static Listener adopt(UniqueFd fd, const Address& address);  // known under this address

    int fd() const noexcept { return fd_.get(); }
    const Address& address() const noexcept { return address_; }  // as configured
    bool is_tcp() const noexcept { return tcp_; }
    std::string bound() const;  // where it really listens: the port that the kernel chose

    // After a reload: takes over backlog, and mode, owner and group of a socket file that we bound.
    void apply(const ListenOptions& options);

    // Whoever shares it may have made it block.
    void unblock() noexcept;

    // The socket file, if it is still the same, becomes this process's own; or is no more: the
    // server changes.
    void claim() noexcept;
    void disown() noexcept { owner_ = 0; }
    // False when the socket file is gone, or another is in its place.
    bool reachable() const noexcept;
    // Removes the socket file if it is still the one that this very process bound.
    void unlink_if_ours() noexcept;

private:
    Listener(UniqueFd fd, const Address& address, bool tcp);
    void remember_file() noexcept;
    static Listener open_inherited(const Address& address);

    UniqueFd fd_;
    Address address_;
    bool tcp_ = false;
    pid_t owner_ = 0;  // process that may unlink the file
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

bool is_listening(int fd) noexcept;

// One accept(2), never waiting. The accepted socket is blocking and close-on-exec.
struct Accepted {
    enum class Outcome {
        accepted,
        would_block,   // nobody waits
        retry,         // that connection was gone, try the next at once
        no_resources,  // descriptors, memory, permission: pause, do not spin
        fatal,         // the listening socket is of no use any more
    };
    Outcome outcome = Outcome::fatal;
    UniqueFd fd;
    int error = 0;
};
Accepted accept(int listener, bool tcp) noexcept;

}  // namespace net
