#include "tests/system/support/address.h"

#include "tests/system/support/wait.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address parse_unix(const std::string& path)
{
    Address address;
    auto* un = reinterpret_cast<sockaddr_un*>(&address.storage);
    if (path.size() >= sizeof un->sun_path)
        throw std::runtime_error("socket path too long: " + path);
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, path.c_str(), path.size() + 1);
    address.size = sizeof *un;
    return address;
}

Address parse(const std::string& text)
{
    if (text.rfind("unix:", 0) == 0)
        return parse_unix(text.substr(5));
    Address address;
    const auto colon = text.rfind(':');
    const auto port = htons(static_cast<in_port_t>(std::stoi(text.substr(colon + 1))));
    std::string host = text.substr(0, colon);
    if (host.front() == '[') {
        auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &in6->sin6_addr);
        address.size = sizeof *in6;
        return address;
    }
    auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
    in->sin_family = AF_INET;
    in->sin_port = port;
    ::inet_pton(AF_INET, host.c_str(), &in->sin_addr);
    address.size = sizeof *in;
    return address;
}

int new_socket(const Address& address)
{
    const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        throw std::system_error(errno, std::generic_category(), "socket");
    const int on = 1;
    if (address.storage.ss_family != AF_UNIX)
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

}  // namespace

int try_connect(const std::string& address)
{
    const Address parsed = parse(address);
    const int fd = new_socket(parsed);
    if (::connect(fd, parsed.get(), parsed.size) == 0)
        return fd;
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
}

int connect_to(const std::string& address)
{
    // A socket file is there a moment before anybody listens.
    int fd = -1;
    for (int attempt = 0; attempt < 50; ++attempt) {
        fd = try_connect(address);
        if (fd >= 0 || errno != ECONNREFUSED)
            break;
        pause_for(Milliseconds{20});
    }
    if (fd < 0)
        throw std::system_error(errno, std::generic_category(), "connect " + address);
    return fd;
}

int bind_to(const std::string& address)
{
    const Address parsed = parse(address);
    const int fd = new_socket(parsed);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd, parsed.get(), parsed.size) != 0)
        throw std::system_error(errno, std::generic_category(), "bind " + address);
    return fd;
}

int listen_on(const std::string& address)
{
    const int fd = bind_to(address);
    if (::listen(fd, 64) != 0)
        throw std::system_error(errno, std::generic_category(), "listen " + address);
    return fd;
}

std::string name_of(int socket)
{
    Address address;
    address.size = sizeof address.storage;
    ::getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
    if (address.storage.ss_family == AF_INET6)
        return "[::1]:" +
               std::to_string(ntohs(reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port));
    return "127.0.0.1:" +
           std::to_string(ntohs(reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port));
}

// The bound socket stays open, not listening, until the process ends: the kernel gives its port to
// nobody else, but lets a server that sets SO_REUSEADDR listen there.
std::string free_address(const std::string& host)
{
    return name_of(bind_to(host + ":0"));
}

bool has_ipv6()
{
    try {
        const int fd = bind_to("[::1]:0");
        ::close(fd);
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}
