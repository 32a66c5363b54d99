// peers.h - who may connect: networks for TCP sockets, users for Unix sockets. An IPv4 address that
// comes as IPv6 (::ffff:192.0.2.1) is that IPv4 address, in a list and from the kernel; ::/0 is
// every IPv6 address and no IPv4 address.
// Errors   parse() says what is wrong and what would be right. A peer that the kernel cannot name
//          is a stranger.
// Owner    each worker has one Peers.
// Source   php-fpm's listen.allowed_clients; SO_PEERCRED in unix(7).
#pragma once

#include "base/result.h"

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <sys/types.h>

namespace net {

class Network {
public:
    // "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32".
    static Result<Network, std::string> parse(std::string_view text);

    bool contains(const sockaddr_storage& address) const;

private:
    using Bytes = std::array<unsigned char, 16>;

    Network(int family, const Bytes& bytes, unsigned bits)
        : family_(family), bytes_(bytes), bits_(bits)
    {
    }

    int family_;
    Bytes bytes_;    // of IPv4 the first four
    unsigned bits_;  // so many of them count
};

// A user by name or number; the number need not be anybody's.
Result<uid_t, std::string> parse_user(const std::string& text);

class Peers {
public:
    // Empty lists: everybody. Throws StartError for what does not parse.
    Peers(std::span<const std::string> clients, std::span<const std::string> users);

    bool admits(const sockaddr_storage& address) const;
    bool admits(uid_t user) const;

    // nullopt when the other end of the connection may be there; else who it is, for the log.
    std::optional<std::string> stranger(int connection, bool tcp) const;

private:
    std::vector<Network> clients_;
    std::vector<uid_t> users_;
};

}  // namespace net
