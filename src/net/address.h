// address.h - what a bind setting names: a Unix socket, a TCP address or an inherited descriptor.
//
//   unix:PATH, /PATH   a Unix socket; a relative PATH starts at the present directory
//   HOST:PORT          IPv4 address or name (a name means its first IPv4 address, else IPv6)
//   [V6]:PORT          IPv6, and only that: [::]:9000 does not take IPv4 connections
//   *:PORT             every IPv4 address, as 0.0.0.0:PORT. ":PORT" is refused: whoever reaches the
//                      port can run programs, so "everywhere" must be written out
//   fd://N             a listening socket that was inherited as descriptor N
//
// Units    ports 0 to 65535, 0 lets the kernel choose; paths up to 107 bytes.
// Errors   parse() says what is wrong and what would be right.
// Source   gunicorn's util.parse_address; nginx's listen; unix(7), ipv6(7).
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>

#include <sys/socket.h>

namespace net {

struct Address {
    enum class Kind { unix_path, ipv4, ipv6, inherited_fd };

    Kind kind = Kind::unix_path;
    std::string text;            // normalised: equal texts are the same address
    std::string path;            // of a Unix socket
    int fd = -1;                 // of fd://N
    sockaddr_storage storage{};  // unset for fd://N
    socklen_t length = 0;

    bool is_tcp() const { return kind == Kind::ipv4 || kind == Kind::ipv6; }
    bool is_wildcard() const { return text.starts_with("0.0.0.0:") || text.starts_with("[::]:"); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

    enum class Names { resolve, refuse };
    static Result<Address, std::string> parse(std::string_view text, Names names = Names::resolve);

    // The address of an inherited socket, from getsockname(2).
    static Address of_socket(int fd);
};

inline bool operator==(const Address& a, const Address& b)
{
    return a.text == b.text;
}

}  // namespace net
