// limits_test.cc - what a program may not do to the server by writing too much or too long.
// Source   the error matrix; what endless output did to the disk and to the time-out in trials.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <string>

TEST_CASE("limits: stderr without end is dropped after 1 MB and said to be", "[limits]")
{
    const Server server;
    const Reply reply = server.act("text=fine&errfill=20000000");
    REQUIRE(reply.complete());
    CHECK(reply.body() == "fine");
    REQUIRE(server.wait_log("the rest of this request's stderr is dropped"));
    CHECK(server.log().size() < (3U << 20));
}

TEST_CASE("limits: a program that writes on after its Content-Length has given a whole reply",
          "[limits]")
{
    const Server server({.pool = "workers = 1\nrequest_timeout = 3s\n"});
    const Reply reply = server.act("out=" + encode("Content-Length: 5\n\n12345and more") +
                                   "&fill=300000&sleep=60000");
    REQUIRE(reply.complete());
    CHECK(reply.body() == "12345");
    CHECK(wait_for([&] { return server.programs().empty(); }));
    CHECK(server.serves());
}

TEST_CASE("limits: one byte too many does not end the program", "[limits]")
{
    const Server server;
    const std::string mark = server.directory() / "mark";
    const Reply reply = server.act("out=" + encode("Content-Length: 2\n\nab\n") +
                                   "&sleep=300&write=" + encode(mark));
    REQUIRE(reply.complete());
    CHECK(reply.body() == "ab");
    CHECK(wait_for([&] { return exists(mark); }));
}

TEST_CASE("limits: a status without body ends the reply although the program writes one",
          "[limits]")
{
    const Server server;
    const Reply reply = server.act("out=" + encode("Status: 204\n\n") + "&fill=300000&sleep=60000");
    REQUIRE(reply.complete());
    CHECK(reply.status() == 204);
    CHECK(reply.body().empty());
}

TEST_CASE("limits: a parameter that no program can be given is 431", "[limits]")
{
    const Server server;
    Request request = server.get("act", "text=x");
    request.set("HTTP_X_LARGE", std::string(150'000, 'v'));
    CHECK(server.ask(request).status() == 431);
    CHECK(server.serves());
}
