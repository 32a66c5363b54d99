#include "base/clock.h"
#include "base/error.h"
#include "log/log.h"
#include "net/listener.h"
#include "tests/unit/support.h"

#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

using net::Address;
using net::Listener;
using net::ListenOptions;
using Outcome = net::Accepted::Outcome;
using unit::TempDir;

namespace {

// Keeps what the listener logs out of the test's output.
struct QuietLog {
    QuietLog() { logging::open({"/dev/null", false, logging::Level::info}); }
    QuietLog(const QuietLog&) = delete;
    QuietLog& operator=(const QuietLog&) = delete;
    ~QuietLog() { logging::open({}); }
};

Address unix_at(const std::string& path)
{
    return Address::parse("unix:" + path).value();
}

Address loopback()
{
    return Address::parse("127.0.0.1:0").value();
}

UniqueFd connect_to(const Address& address)
{
    UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), address.get(), address.length) != 0)
        return UniqueFd();
    return fd;
}

// A socket file that nobody listens on any more.
void leave_stale(const std::string& path)
{
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = unix_at(path);
    REQUIRE(::bind(fd.get(), address.get(), address.length) == 0);
}

struct stat status_of(const std::string& path)
{
    struct stat status {};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status;
}

bool exists(const std::string& path)
{
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

std::string reason(const Address& address, const ListenOptions& options = {})
{
    try {
        Listener::open(address, options);
    } catch (const StartError& error) {
        CHECK(error.exit_code() == exit_failure);
        return error.what();
    }
    return "no error";
}

bool contains(const std::string& text, const std::string& part)
{
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("listener: a Unix socket listens with the mode that was asked for", "[listener]")
{
    const TempDir dir;
    ListenOptions options;
    options.mode = 0620;
    const mode_t mask = ::umask(0);
    auto listener = Listener::open(unix_at(dir / "a.sock"), options);
    CHECK(::umask(mask) == 0);  // left as it was
    CHECK((status_of(dir / "a.sock").st_mode & 07777) == 0620);
    CHECK_FALSE(listener.is_tcp());
    CHECK(listener.bound() == "unix:" + dir / "a.sock");
    CHECK((::fcntl(listener.fd(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(listener.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(connect_to(listener.address()));
}

TEST_CASE("listener: a Unix socket is given to owner and group", "[listener]")
{
    const TempDir dir;
    ListenOptions options;
    options.owner = std::to_string(::getuid());
    options.group = std::to_string(::getgid());
    if (::getuid() == 0) {
        options.owner = "daemon";
        options.group = "1";
    }
    const auto listener = Listener::open(unix_at(dir / "a.sock"), options);
    CHECK(status_of(dir / "a.sock").st_uid == (::getuid() == 0 ? 1 : ::getuid()));
    CHECK(status_of(dir / "a.sock").st_gid == (::getuid() == 0 ? 1 : ::getgid()));
}

TEST_CASE("listener: an unknown owner is an error and leaves no socket", "[listener]")
{
    const TempDir dir;
    ListenOptions options;
    options.owner = "no-such-user-here";
    CHECK(contains(reason(unix_at(dir / "a.sock"), options), "no user \"no-such-user-here\""));
    CHECK_FALSE(exists(dir / "a.sock"));
}

TEST_CASE("listener: a stale socket is replaced", "[listener]")
{
    const TempDir dir;
    const QuietLog quiet;
    leave_stale(dir / "a.sock");
    const auto listener = Listener::open(unix_at(dir / "a.sock"), {});
    CHECK(connect_to(listener.address()));
}

TEST_CASE("listener: a live socket is left to the server that has it", "[listener]")
{
    const TempDir dir;
    const auto first = Listener::open(unix_at(dir / "a.sock"), {});
    CHECK(contains(reason(unix_at(dir / "a.sock")), "another server is listening on"));
    CHECK(connect_to(first.address()));
}

// A server that was killed: one of its children still has the socket, for a while.
TEST_CASE("listener: a socket that only orphans of its server hold is waited for", "[listener]")
{
    const TempDir dir;
    const QuietLog quiet;
    const auto address = unix_at(dir / "a.sock");
    const pid_t server = ::fork();
    if (server == 0) {
        const auto listener = Listener::open(address, {});
        if (::fork() == 0)
            ::usleep(400'000);
        ::_exit(0);
    }
    REQUIRE(::waitpid(server, nullptr, 0) == server);
    ListenOptions once;
    once.attempts = 1;
    CHECK(contains(reason(address, once), "another server is listening on"));
    const auto listener = Listener::open(address, {});
    CHECK(connect_to(listener.address()));
}

TEST_CASE("listener: a live socket with a full backlog is live too", "[listener]")
{
    const TempDir dir;
    ListenOptions options;
    options.backlog = 0;
    const auto first = Listener::open(unix_at(dir / "a.sock"), options);
    const auto waiting = connect_to(first.address());
    REQUIRE(waiting);
    CHECK(contains(reason(unix_at(dir / "a.sock")), "another server is listening on"));
    CHECK(exists(dir / "a.sock"));
}

TEST_CASE("listener: what is no socket is never removed", "[listener]")
{
    const TempDir dir;
    std::ofstream(dir / "file") << "precious";
    CHECK(contains(reason(unix_at(dir / "file")), "is no socket"));
    CHECK(unit::read_file(dir / "file") == "precious");

    leave_stale(dir / "target.sock");
    REQUIRE(::symlink((dir / "target.sock").c_str(), (dir / "link").c_str()) == 0);
    CHECK(contains(reason(unix_at(dir / "link")), "is no socket"));
    CHECK(exists(dir / "target.sock"));
}

TEST_CASE("listener: a datagram socket in the way is not taken for a left-over", "[listener]")
{
    const TempDir dir;
    const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto address = unix_at(dir / "log.sock");
    REQUIRE(::bind(fd.get(), address.get(), address.length) == 0);
    CHECK(contains(reason(address), "cannot tell whether another server"));
    CHECK(exists(dir / "log.sock"));
}

TEST_CASE("listener: a missing directory is said", "[listener]")
{
    const TempDir dir;
    CHECK(contains(reason(unix_at(dir / "none/a.sock")), "is its directory there?"));
}

TEST_CASE("listener: the socket file is removed by the process that bound it", "[listener]")
{
    const TempDir dir;
    auto listener = Listener::open(unix_at(dir / "a.sock"), {});
    CHECK(unit::in_child([&] {
              listener.unlink_if_ours();
              return 0;
          }) == 0);
    CHECK(exists(dir / "a.sock"));
    listener.unlink_if_ours();
    CHECK_FALSE(exists(dir / "a.sock"));
}

TEST_CASE("listener: the socket file of a successor is left alone", "[listener]")
{
    const TempDir dir;
    auto listener = Listener::open(unix_at(dir / "a.sock"), {});
    REQUIRE(::rename((dir / "a.sock").c_str(), (dir / "old.sock").c_str()) == 0);
    const auto successor = Listener::open(unix_at(dir / "a.sock"), {});
    listener.unlink_if_ours();
    CHECK(exists(dir / "a.sock"));
}

TEST_CASE("listener: the socket file of an adopted socket is left alone", "[listener]")
{
    const TempDir dir;
    auto owner = Listener::open(unix_at(dir / "a.sock"), {});
    auto adopted = Listener::adopt(UniqueFd(::fcntl(owner.fd(), F_DUPFD_CLOEXEC, 3)));
    adopted.unlink_if_ours();
    CHECK(exists(dir / "a.sock"));
    owner.unlink_if_ours();
    CHECK_FALSE(exists(dir / "a.sock"));
}

TEST_CASE("listener: a reload changes mode and backlog of an open socket", "[listener]")
{
    const TempDir dir;
    auto listener = Listener::open(unix_at(dir / "a.sock"), {});
    net::ListenOptions options;
    options.mode = 0600;
    options.backlog = 1;
    listener.apply(options);
    struct stat status {};
    REQUIRE(::stat((dir / "a.sock").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("listener: TCP tells the port that the kernel chose", "[listener]")
{
    const auto listener = Listener::open(loopback(), {});
    CHECK(listener.is_tcp());
    CHECK(listener.address().text == "127.0.0.1:0");
    const auto bound = Address::parse(listener.bound()).value();
    CHECK(bound.text != "127.0.0.1:0");
    CHECK(connect_to(bound));
}

TEST_CASE("listener: a TCP port in use is tried again and then an error", "[listener]")
{
    const QuietLog quiet;
    const auto first = Listener::open(loopback(), {});
    ListenOptions options;
    options.attempts = 2;
    const auto start = Clock::now();
    CHECK(
        contains(reason(Address::parse(first.bound()).value(), options), "Address already in use"));
    CHECK(Clock::now() - start >= std::chrono::milliseconds(900));
}

TEST_CASE("listener: IPv6 takes no IPv4 connections", "[listener]")
{
    const UniqueFd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto any = Address::parse("[::]:0").value();
    if (!probe || ::bind(probe.get(), any.get(), any.length) != 0)
        SKIP_TEST("no IPv6 here");
    const auto listener = Listener::open(any, {});
    const auto bound = listener.bound();
    CHECK(bound.starts_with("[::]:"));
    const auto port = bound.substr(bound.rfind(':'));
    CHECK_FALSE(connect_to(Address::parse("127.0.0.1" + port).value()));
    CHECK(connect_to(Address::parse("[::1]" + port).value()));
}

TEST_CASE("listener: an inherited listening socket is used and made non-blocking", "[listener]")
{
    const TempDir dir;
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));  // NOLINT(android-cloexec-socket)
    const auto address = unix_at(dir / "a.sock");
    REQUIRE(::bind(fd.get(), address.get(), address.length) == 0);
    REQUIRE(::listen(fd.get(), 5) == 0);
    const auto name = "fd://" + std::to_string(fd.get());
    auto listener = Listener::open(Address::parse(name).value(), {});
    CHECK(listener.fd() == fd.release());
    CHECK(listener.address().text == name);
    CHECK_FALSE(listener.is_tcp());
    CHECK((::fcntl(listener.fd(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(listener.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    listener.unlink_if_ours();
    CHECK(exists(dir / "a.sock"));
}

TEST_CASE("listener: an inherited descriptor that does not listen is refused and stays open",
          "[listener]")
{
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd one(ends[0]);
    const UniqueFd other(ends[1]);
    const auto name = [](int fd) { return Address::parse("fd://" + std::to_string(fd)).value(); };
    CHECK(contains(reason(name(one.get())), "no listening stream socket"));
    CHECK(::fcntl(one.get(), F_GETFD) >= 0);
    const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(contains(reason(name(file.get())), "Socket operation on non-socket"));
    CHECK(contains(reason(name(1 << 20)), "Bad file descriptor"));
}

TEST_CASE("accept: waits for nobody and gives a blocking socket", "[listener]")
{
    const auto listener = Listener::open(loopback(), {});
    CHECK(net::accept(listener.fd(), true).outcome == Outcome::would_block);
    const auto client = connect_to(Address::parse(listener.bound()).value());
    const auto accepted = net::accept(listener.fd(), true);
    REQUIRE(accepted.outcome == Outcome::accepted);
    CHECK((::fcntl(accepted.fd.get(), F_GETFL) & O_NONBLOCK) == 0);
    CHECK((::fcntl(accepted.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    int no_delay = 0;
    socklen_t length = sizeof no_delay;
    REQUIRE(::getsockopt(accepted.fd.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &length) == 0);
    CHECK(no_delay != 0);
}

TEST_CASE("accept: too many open files is told apart from a broken listener", "[listener]")
{
    const TempDir dir;
    const auto listener = Listener::open(unix_at(dir / "a.sock"), {});
    const auto client = connect_to(listener.address());
    const int status = unit::in_child([&] {
        const rlimit none{static_cast<rlim_t>(listener.fd() + 1), 1024};
        while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 && errno != EMFILE) {
            if (::setrlimit(RLIMIT_NOFILE, &none) != 0)
                return 2;
        }
        const auto accepted = net::accept(listener.fd(), false);
        return accepted.outcome == Outcome::no_resources && accepted.error == EMFILE ? 0 : 1;
    });
    CHECK(status == 0);
    CHECK(net::accept(-1, false).outcome == Outcome::fatal);
}
