#include "net/listener.h"

#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "log/log.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace net {

namespace {

[[noreturn]] void fail(const std::string& what, int error)
{
    throw StartError(exit_failure, what + ": " + errno_text(error));
}

UniqueFd make_socket(const Address& address)
{
    UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd)
        fail("cannot make a socket for " + address.text, errno);
    return fd;
}

void set_option(int fd, int level, int option)
{
    const int on = 1;
    if (::setsockopt(fd, level, option, &on, sizeof on) != 0)
        fail("cannot set a socket option", errno);
}

// --- Unix sockets -------------------------------------------------------------------------------

enum class InTheWay { left_over, orphan, live };

// Whether the process that has called listen(2) is dead. Its children may have the socket still.
bool listener_is_dead(int connected)
{
    ucred listener{};
    socklen_t length = sizeof listener;
    return ::getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &listener, &length) == 0 &&
           listener.pid > 0 && ::kill(listener.pid, 0) != 0 && errno == ESRCH;
}

// Connects to a socket that is in the way: only one that refuses is a left-over.
InTheWay look_at(const Address& address)
{
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!probe)
        fail("cannot make a socket", errno);
    const int error = ::connect(probe.get(), address.get(), address.length) == 0 ? 0 : errno;
    switch (error) {
    case ECONNREFUSED:
    case ENOENT: return InTheWay::left_over;
    case 0: return listener_is_dead(probe.get()) ? InTheWay::orphan : InTheWay::live;
    case EAGAIN:  // its backlog is full: it lives
    case EINPROGRESS: return InTheWay::live;
    default: fail("cannot tell whether another server is listening on " + address.path, error);
    }
}

// Workers of a server that was killed let go of the socket as soon as their programs have ended.
// Or somebody else has passed it on: then it stays.
void wait_stale(const Address& address, int attempts)
{
    constexpr std::chrono::milliseconds step{50};
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(attempts - 1);
    for (;;) {
        const InTheWay what = look_at(address);
        if (what == InTheWay::left_over)
            return;
        if (what == InTheWay::live || std::chrono::steady_clock::now() >= until)
            throw StartError(exit_failure, "another server is listening on " + address.path);
        std::this_thread::sleep_for(step);
    }
}

void remove_stale(const Address& address, int attempts)
{
    struct stat status {};
    if (::lstat(address.path.c_str(), &status) != 0) {
        if (errno == ENOENT)
            return;
        fail("cannot look at " + address.path, errno);
    }
    if (!S_ISSOCK(status.st_mode))
        throw StartError(exit_failure, address.path + " is in the way and is no socket");
    wait_stale(address, attempts);
    if (::unlink(address.path.c_str()) != 0 && errno != ENOENT)
        fail("cannot remove the stale socket " + address.path, errno);
    logging::info("removed the stale socket %s", address.path.c_str());
}

uid_t find_owner(const std::string& name)
{
    if (const auto id = parse_id(name))
        return *id;
    const auto* const user = ::getpwnam(name.c_str());
    if (user == nullptr)
        throw StartError(exit_failure, "listen_owner: there is no user " + text::in_quotes(name));
    return user->pw_uid;
}

gid_t find_group(const std::string& name)
{
    if (const auto id = parse_id(name))
        return *id;
    const auto* const group = ::getgrnam(name.c_str());
    if (group == nullptr)
        throw StartError(exit_failure, "listen_group: there is no group " + text::in_quotes(name));
    return group->gr_gid;
}

// What the kernel gives a new file.
gid_t first_group(const std::string& path)
{
    struct stat directory {};
    const bool hands_down = ::stat(path.substr(0, path.rfind('/') + 1).c_str(), &directory) == 0 &&
                            (directory.st_mode & S_ISGID) != 0;
    return hands_down ? directory.st_gid : ::getegid();
}

// Also undoes what a reload finds no more in the configuration. Through a descriptor of the file,
// so that whoever can write the directory cannot put another file in its place meanwhile. Returns
// what the file is.
struct stat set_permissions(const std::string& path, const ListenOptions& options)
{
    const UniqueFd file(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0)
        fail("cannot look at the new socket " + path, errno);
    if (!S_ISSOCK(status.st_mode))
        throw StartError(exit_failure, path + " was replaced while it was made");
    const auto owner = options.owner.empty() ? ::geteuid() : find_owner(options.owner);
    const auto group = options.group.empty() ? first_group(path) : find_group(options.group);
    if ((status.st_uid != owner || status.st_gid != group) &&
        ::fchownat(file.get(), "", owner, group, AT_EMPTY_PATH) != 0)
        fail(options.owner.empty() && options.group.empty()
                 ? "cannot take back " + path
                 : "cannot give " + path + " to " + options.owner + ":" + options.group,
             errno);
    const auto link = "/proc/self/fd/" + std::to_string(file.get());
    if (::chmod(link.c_str(), options.mode) != 0)
        fail("cannot set the mode of " + path, errno);
    return status;
}

// Nobody can connect between bind and listen, and until the mode is set nobody but us may.
void bind_unix(int fd, const Address& address)
{
    const mode_t old_mask = ::umask(0177);
    const int error = ::bind(fd, address.get(), address.length) == 0 ? 0 : errno;
    ::umask(old_mask);
    if (error == ENOENT)
        fail("cannot make the socket " + address.path + ", is its directory there?", error);
    if (error != 0)
        fail("cannot make the socket " + address.path, error);
}

// --- TCP ----------------------------------------------------------------------------------------

// Returns the errno of what failed, 0 for success.
int try_listen_tcp(int fd, const Address& address, int backlog)
{
    if (::bind(fd, address.get(), address.length) != 0 || ::listen(fd, backlog) != 0)
        return errno;
    return 0;
}

UniqueFd listen_tcp(const Address& address, const ListenOptions& options)
{
    for (int attempt = 1;; ++attempt) {
        auto fd = make_socket(address);
        set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
        if (address.kind == Address::Kind::ipv6)
            set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
        const int error = try_listen_tcp(fd.get(), address, options.backlog);
        if (error == 0)
            return fd;
        if (error != EADDRINUSE || attempt >= options.attempts)
            fail("cannot listen on " + address.text, error);
        logging::warning("%s is in use, trying again in a second (%d of %d)",
                         address.text.c_str(),
                         attempt,
                         options.attempts);
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

// --- inherited ----------------------------------------------------------------------------------

int int_option(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

void prepare_inherited(int fd)
{
    const auto name = "descriptor " + std::to_string(fd);
    const int type = int_option(fd, SO_TYPE);
    if (type < 0)
        fail(name + " is no socket that could be listened on", errno);
    if (type != SOCK_STREAM || !is_listening(fd))
        throw StartError(exit_failure, name + " is no listening stream socket");
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        fail("cannot prepare " + name, errno);
}

}  // namespace

Listener::Listener(UniqueFd fd, const Address& address, bool tcp)
    : fd_(std::move(fd)), address_(address), tcp_(tcp)
{
}

Listener Listener::open(const Address& address, const ListenOptions& options)
{
    if (address.kind == Address::Kind::inherited_fd)
        return open_inherited(address);
    if (address.is_tcp())
        return Listener(listen_tcp(address, options), address, true);

    remove_stale(address, options.attempts);
    Listener listener(make_socket(address), address, false);
    bind_unix(listener.fd(), address);
    listener.remember_file();
    listener.claim();
    try {
        const auto file = set_permissions(address.path, options);
        listener.device_ = file.st_dev;
        listener.inode_ = file.st_ino;
        if (::listen(listener.fd(), options.backlog) != 0)
            fail("cannot listen on " + address.path, errno);
    } catch (...) {
        listener.unlink_if_ours();
        throw;
    }
    return listener;
}

// The number comes from a configuration: only a listening socket is taken over, and closed later.
Listener Listener::open_inherited(const Address& address)
{
    prepare_inherited(address.fd);
    return adopt(UniqueFd(address.fd), address);
}

Listener Listener::adopt(UniqueFd fd)
{
    prepare_inherited(fd.get());
    const auto address = Address::of_socket(fd.get());
    Listener listener(std::move(fd), address, address.is_tcp());
    listener.remember_file();
    return listener;
}

Listener Listener::adopt(UniqueFd fd, const Address& address)
{
    prepare_inherited(fd.get());
    const bool tcp = Address::of_socket(fd.get()).is_tcp();
    return Listener(std::move(fd), address, tcp);
}

std::string Listener::bound() const
{
    return Address::of_socket(fd_.get()).text;
}

// What the socket file is now, for one that somebody else has bound.
void Listener::remember_file() noexcept
{
    struct stat status {};
    if (address_.path.empty() || ::lstat(address_.path.c_str(), &status) != 0)
        return;
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

void Listener::claim() noexcept
{
    if (!address_.path.empty() && reachable())
        owner_ = ::getpid();
}

void Listener::apply(const ListenOptions& options)
{
    if (::listen(fd(), options.backlog) != 0)
        fail("cannot change the backlog of " + address_.text, errno);
    if (owner_ == ::getpid())
        set_permissions(address_.path, options);
}

void Listener::unblock() noexcept
{
    const int flags = ::fcntl(fd(), F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0)
        ::fcntl(fd(), F_SETFL, flags | O_NONBLOCK);
}

bool Listener::reachable() const noexcept
{
    if (address_.path.empty())
        return true;
    struct stat status {};
    return ::lstat(address_.path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) &&
           status.st_dev == device_ && status.st_ino == inode_;
}

void Listener::unlink_if_ours() noexcept
{
    if (owner_ == ::getpid() && reachable())
        ::unlink(address_.path.c_str());
    owner_ = 0;
}

bool is_listening(int fd) noexcept
{
    return int_option(fd, SO_ACCEPTCONN) == 1;
}

Accepted accept(int listener, bool tcp) noexcept
{
    using Outcome = Accepted::Outcome;
    UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (fd) {
        const int on = 1;
        if (tcp)
            ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return {Outcome::accepted, std::move(fd), 0};
    }
    const int error = errno;
    const auto failed = [&](Outcome outcome) { return Accepted{outcome, UniqueFd(), error}; };
    switch (error) {
    case EAGAIN: return failed(Outcome::would_block);
    // The rest as accept(2) tells: errors of the network that belong to the new connection.
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT: return failed(Outcome::retry);
    case EPERM:  // a security module denies each call: no reason to spin
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return failed(Outcome::no_resources);
    default: return failed(Outcome::fatal);
    }
}

}  // namespace net
