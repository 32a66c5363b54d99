#include "handler/queue.h"
#include "tests/catch.h"

#include <sys/socket.h>
#include <unistd.h>

using handler::wait_since;
using std::chrono::microseconds;

namespace {

const std::chrono::system_clock::time_point now{microseconds(1'700'000'010'500'000)};

}  // namespace

TEST_CASE("queue: the web server's time is read in seconds and smaller units", "[queue]")
{
    for (const char* start : {"t=1700000010.000",
                              "1700000010",
                              "t=1700000010.0000009",
                              "t=1700000010000",
                              "t=1700000010000000",
                              "1700000010000"})
        CHECK(wait_since(start, now) >= Duration{499});
    CHECK(wait_since("t=1700000010.25", now) == Duration{250});
    CHECK(wait_since("t=1700000010.499", now) == Duration{1});
    CHECK(wait_since("t=1700000009.5", now) == Duration{1000});
}

TEST_CASE("queue: what is no time or a strange one is no wait", "[queue]")
{
    for (const char* start : {"",
                              "t=",
                              "now",
                              "-5",
                              "t=1700000010.5",
                              "t=1700000011",
                              "t=1699000000",
                              "0",
                              "99999999999999999999999999"})
        CHECK(wait_since(start, now) == Duration{0});
}

TEST_CASE("queue: a socket that is not TCP says nothing", "[queue]")
{
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(handler::silence_of(ends[0]) == Duration{0});
    ::close(ends[0]);
    ::close(ends[1]);
}
