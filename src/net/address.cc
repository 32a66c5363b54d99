#include "net/address.h"

#include "base/error.h"
#include "base/text.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace net {

namespace {

using Parsed = Result<Address, std::string>;

constexpr std::string_view forms = "write unix:PATH, HOST:PORT, [IPV6]:PORT, *:PORT or fd://N";

// "127.0.0.1:9000" or "[::1]:9000", numbers only.
std::string tcp_text(const sockaddr* address, socklen_t length)
{
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    const int error = ::getnameinfo(address,
                                    length,
                                    host.data(),
                                    host.size(),
                                    port.data(),
                                    port.size(),
                                    NI_NUMERICHOST | NI_NUMERICSERV);
    if (error != 0)
        return "?";
    if (address->sa_family == AF_INET6)
        return "[" + std::string(host.data()) + "]:" + port.data();
    return std::string(host.data()) + ":" + port.data();
}

// "." and repeated slashes mean nothing; ".." stays, it may follow a symbolic link.
std::string without_detours(const std::filesystem::path& absolute)
{
    std::string plain;
    for (const auto& part : absolute.relative_path()) {
        if (!part.empty() && part != ".")
            plain += "/" + part.string();
    }
    return plain;
}

Parsed unix_address(std::string_view path)
{
    sockaddr_un raw{};
    if (path.empty())
        return "a path is missing: " + std::string(forms);
    if (path.find('\0') != path.npos)
        return std::string("a path holds no NUL byte");
    if (path.starts_with('@'))
        return text::in_quotes(path) + ": abstract sockets have no permissions, use a path";
    const auto name = path.substr(path.rfind('/') + 1);
    if (name.empty() || name == "." || name == "..")
        return text::in_quotes(path) + " is a directory, write the path of a socket in it";

    Address address;
    std::error_code error;
    // Absolute, so that changing the directory later changes nothing.
    const auto absolute = std::filesystem::absolute(std::filesystem::path(path), error);
    if (error)
        return text::in_quotes(path) + ": the present directory is unknown: " + error.message();
    address.path = without_detours(absolute);
    if (address.path.size() >= sizeof raw.sun_path)
        return text::in_quotes(address.path) +
               " is too long: " + std::to_string(address.path.size()) +
               " bytes, a socket's path has up to " + std::to_string(sizeof raw.sun_path - 1);
    raw.sun_family = AF_UNIX;
    std::memcpy(raw.sun_path, address.path.data(), address.path.size());
    std::memcpy(&address.storage, &raw, sizeof raw);
    address.kind = Address::Kind::unix_path;
    address.length =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
    address.text = "unix:" + address.path;
    return address;
}

Parsed fd_address(std::string_view number)
{
    const auto fd = text::to_number<unsigned>(number);
    if (!fd || *fd > 1U << 20)
        return text::in_quotes("fd://" + std::string(number)) +
               ": write fd://N with a descriptor, as fd://3";
    Address address;
    address.kind = Address::Kind::inherited_fd;
    address.fd = static_cast<int>(*fd);
    address.text = "fd://" + std::to_string(*fd);
    return address;
}

// A name means its first IPv4 address: "localhost" is 127.0.0.1 however /etc/hosts is sorted.
const addrinfo* choose(const addrinfo* list)
{
    for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
        if (entry->ai_family == AF_INET)
            return entry;
    }
    return list;
}

Parsed tcp_address(const std::string& host,
                   const std::string& port,
                   int family,
                   Address::Names names)
{
    addrinfo hints{};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    if (family == AF_INET6 || names == Address::Names::refuse)
        hints.ai_flags |= AI_NUMERICHOST;
    addrinfo* list = nullptr;
    const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
    if (error != 0)
        return text::in_quotes(host) + ": " +
               (family == AF_INET6 ? "is no IPv6 address" : ::gai_strerror(error));
    const auto* const chosen = choose(list);
    Address address;
    address.kind = chosen->ai_family == AF_INET6 ? Address::Kind::ipv6 : Address::Kind::ipv4;
    std::memcpy(&address.storage, chosen->ai_addr, chosen->ai_addrlen);
    address.length = chosen->ai_addrlen;
    address.text = tcp_text(chosen->ai_addr, chosen->ai_addrlen);
    ::freeaddrinfo(list);
    return address;
}

Parsed host_and_port(std::string_view text, Address::Names names)
{
    const auto colon = text.rfind(':');
    if (colon == text.npos)
        return text::in_quotes(text) + ": a port is missing; " + std::string(forms);
    auto host = text.substr(0, colon);
    const auto port = text::to_number<unsigned>(text.substr(colon + 1));
    if (!port || *port > 65535)
        return text::in_quotes(text) + ": the port is a number from 0 to 65535";
    if (host.empty())
        return text::in_quotes(text) + ": write 127.0.0.1" + std::string(text) + ", or *" +
               std::string(text) + " for every interface";
    const auto port_text = std::to_string(*port);
    if (host == "*")
        return tcp_address("0.0.0.0", port_text, AF_INET, names);
    if (host.starts_with('[') && host.ends_with(']'))
        return tcp_address(
            std::string(host.substr(1, host.size() - 2)), port_text, AF_INET6, names);
    if (host.find_first_of(":[]") != host.npos)
        return text::in_quotes(text) + ": an IPv6 address stands in brackets, as [::1]:9000";
    return tcp_address(std::string(host), port_text, AF_UNSPEC, names);
}

}  // namespace

Result<Address, std::string> Address::parse(std::string_view text, Names names)
{
    if (text.empty())
        return "an address is missing: " + std::string(forms);
    if (text.find('\0') != text.npos)
        return std::string("an address holds no NUL byte");
    if (text.starts_with("unix:"))
        return unix_address(text.substr(5));
    if (text.starts_with('/'))
        return unix_address(text);
    if (text.starts_with("fd://"))
        return fd_address(text.substr(5));
    if (text.find('/') != text.npos)
        return text::in_quotes(text) + ": " + std::string(forms);
    return host_and_port(text, names);
}

Address Address::of_socket(int fd)
{
    Address address;
    address.length = sizeof address.storage;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0)
        throw_errno("descriptor " + std::to_string(fd));
    switch (address.storage.ss_family) {
    case AF_INET:
    case AF_INET6:
        address.kind = address.storage.ss_family == AF_INET ? Kind::ipv4 : Kind::ipv6;
        address.text = tcp_text(address.get(), address.length);
        return address;
    case AF_UNIX: {
        sockaddr_un raw{};
        std::memcpy(&raw, &address.storage, sizeof raw);
        const auto size = address.length - offsetof(sockaddr_un, sun_path);
        // An abstract name begins with NUL; it has no path.
        if (size > 0 && raw.sun_path[0] != '\0')
            address.path = std::string(raw.sun_path, ::strnlen(raw.sun_path, size));
        address.kind = Kind::unix_path;
        address.text = "unix:" + address.path;
        return address;
    }
    default:
        throw StartError(exit_failure,
                         "descriptor " + std::to_string(fd) +
                             " is neither a Unix nor a TCP socket");
    }
}

}  // namespace net
