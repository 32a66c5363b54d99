#include "net/address.h"
#include "net/listener.h"
#include "net/notify.h"
#include "tests/unit/support.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>

using unit::TempDir;
using unit::Variable;

namespace {

using Names = std::vector<std::string>;

Names names(const char* pid, const char* fds, const char* list)
{
    return net::read_listen_names(pid, fds, list, 42);
}

// Takes the part of systemd: a datagram socket named by NOTIFY_SOCKET.
class Manager {
public:
    Manager()
        : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
          address_(net::Address::parse("unix:" + (dir_ / "notify")).value()),
          variable_("NOTIFY_SOCKET", address_.path.c_str())
    {
        REQUIRE(::bind(fd_.get(), address_.get(), address_.length) == 0);
    }
    std::string next() const
    {
        char bytes[512];
        const auto n = ::recv(fd_.get(), bytes, sizeof bytes, 0);
        return n < 0 ? "nothing" : std::string(bytes, static_cast<std::size_t>(n));
    }

private:
    TempDir dir_;
    UniqueFd fd_;
    net::Address address_;
    Variable variable_;
};

}  // namespace

TEST_CASE("activation: descriptors are counted and named", "[notify]")
{
    CHECK(names("42", "2", "web:api") == Names{"web", "api"});
    CHECK(names("42", "3", "web") == Names{"web", "", ""});
    CHECK(names("42", "1", "a:b:c") == Names{"a"});
    CHECK(names("42", "2", nullptr) == Names{"", ""});
    CHECK(names("42", "2", ":b") == Names{"", "b"});
    CHECK(names("42", "0", nullptr).empty());
}

TEST_CASE("activation: descriptors of another process and nonsense are not taken", "[notify]")
{
    CHECK(names("41", "2", nullptr).empty());
    CHECK(names(nullptr, "2", nullptr).empty());
    CHECK(names("42", nullptr, nullptr).empty());
    CHECK(names("", "", "").empty());
    CHECK(names("42x", "2", nullptr).empty());
    CHECK(names(" 42", "2", nullptr).empty());
    CHECK(names("42", "-1", nullptr).empty());
    CHECK(names("42", "2x", nullptr).empty());
    CHECK(names("42", "999999999", nullptr).empty());
    CHECK(names("99999999999999999999", "2", nullptr).empty());
}

TEST_CASE("activation: sockets are taken and the variables leave the environment", "[notify]")
{
    const TempDir dir;
    const auto address = net::Address::parse("unix:" + (dir / "a.sock")).value();
    const auto listener = net::Listener::open(address, {});
    const int status = unit::in_child([&] {
        const int moved = ::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 10);
        ::dup2(moved, 3);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", "1", 1);
        ::setenv("LISTEN_FDNAMES", "www", 1);
        const auto sockets = net::listen_fds();
        if (sockets.size() != 1 || sockets[0].name != "www" || sockets[0].fd.get() != 3)
            return 1;
        if ((::fcntl(3, F_GETFD) & FD_CLOEXEC) == 0)
            return 2;
        return std::getenv("LISTEN_FDS") == nullptr && std::getenv("LISTEN_PID") == nullptr ? 0 : 3;
    });
    CHECK(status == 0);
}

TEST_CASE("activation: without the variables there are no sockets", "[notify]")
{
    const Variable pid("LISTEN_PID", nullptr);
    const Variable fds("LISTEN_FDS", nullptr);
    CHECK(net::listen_fds().empty());
}

TEST_CASE("notify: without a service manager nothing happens", "[notify]")
{
    const Variable none("NOTIFY_SOCKET", nullptr);
    net::notify::ready("x");
    net::notify::stopping();
}

TEST_CASE("notify: a service manager that has gone is no trouble", "[notify]")
{
    const TempDir dir;
    const Variable gone("NOTIFY_SOCKET", (dir / "gone").c_str());
    net::notify::ready("x");
}

TEST_CASE("notify: the watchdog interval is half of what systemd waits", "[notify]")
{
    const Variable pid("WATCHDOG_PID", nullptr);
    const Variable off("WATCHDOG_USEC", nullptr);
    CHECK_FALSE(net::notify::watchdog_interval());
#ifdef HAVE_SYSTEMD
    const Variable on("WATCHDOG_USEC", "30000000");
    CHECK(net::notify::watchdog_interval() == std::chrono::seconds(15));
    const Variable tiny("WATCHDOG_USEC", "1");
    CHECK(net::notify::watchdog_interval() == std::chrono::milliseconds(1));
    const Variable other("WATCHDOG_PID", "1");
    CHECK_FALSE(net::notify::watchdog_interval());
#endif
}

#ifdef HAVE_SYSTEMD

TEST_CASE("notify: each state is one datagram", "[notify]")
{
    const Manager manager;
    net::notify::ready("serving 2 pools");
    CHECK(manager.next() == "READY=1\nSTATUS=serving 2 pools");
    net::notify::stopping();
    CHECK(manager.next() == "STOPPING=1");
    net::notify::main_pid(4711);
    CHECK(manager.next() == "MAINPID=4711");
    net::notify::watchdog();
    CHECK(manager.next() == "WATCHDOG=1");
    CHECK(manager.next() == "nothing");
}

TEST_CASE("notify: reloading tells the time on the monotonic clock", "[notify]")
{
    const Manager manager;
    timespec before{};
    ::clock_gettime(CLOCK_MONOTONIC, &before);
    net::notify::reloading();
    const auto state = manager.next();
    const std::string prefix = "RELOADING=1\nMONOTONIC_USEC=";
    REQUIRE(state.starts_with(prefix));
    const auto sent = std::stoll(state.substr(prefix.size()));
    const auto least = before.tv_sec * 1'000'000LL + before.tv_nsec / 1000;
    CHECK(sent >= least);
    CHECK(sent < least + 60'000'000);
}

TEST_CASE("notify: a status cannot make another assignment", "[notify]")
{
    const Manager manager;
    net::notify::status("busy\nMAINPID=1");
    CHECK(manager.next() == "STATUS=busy MAINPID=1");
}

#endif
