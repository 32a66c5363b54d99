#include "base/clock.h"
#include "net/backlog.h"
#include "net/listener.h"
#include "tests/unit/support.h"

#include <string>
#include <vector>

#include <sys/socket.h>

using net::Address;
using net::Listener;

namespace {

UniqueFd connect_to(const Listener& listener)
{
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    ::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &length);
    UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    return fd;
}

// The other end of a TCP connection learns of it a moment later.
bool wait_for_waiting(const Listener& listener, unsigned count)
{
    const TimePoint deadline = Clock::now() + Duration{10'000};
    while (net::backlog_of(listener.fd())->waiting != count)
        if (Clock::now() > deadline)
            return false;
    return true;
}

void check_counts(const std::string& address)
{
    net::ListenOptions options;
    options.backlog = 7;
    const Listener listener = Listener::open(Address::parse(address).value(), options);
    if (!net::backlog_of(listener.fd()))
        SKIP_TEST("the kernel does not tell");
    CHECK(net::backlog_of(listener.fd())->waiting == 0);
    CHECK(net::backlog_of(listener.fd())->size == 7);
    std::vector<UniqueFd> clients;
    for (unsigned count = 1; count <= 3; ++count) {
        clients.push_back(connect_to(listener));
        CHECK(wait_for_waiting(listener, count));
    }
    CHECK(net::accept(listener.fd(), true).fd);
    CHECK(wait_for_waiting(listener, 2));
}

}  // namespace

TEST_CASE("backlog: connections that wait at a Unix socket are counted", "[listener]")
{
    const unit::TempDir dir;
    check_counts("unix:" + (dir / "s"));
}

TEST_CASE("backlog: connections that wait at a TCP socket are counted", "[listener]")
{
    check_counts("127.0.0.1:0");
}

TEST_CASE("backlog: of what is no socket nothing is told", "[listener]")
{
    Pipe pipe;
    REQUIRE(open_pipe(pipe));
    CHECK_FALSE(net::backlog_of(pipe.read.get()));
    CHECK_FALSE(net::backlog_of(-1));
}
