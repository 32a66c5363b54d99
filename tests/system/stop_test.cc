// stop_test.cc - gentle and quick stops, restarts over what a crash left, and two servers on one
// socket.
// Source   gunicorn TERM, INT, QUIT; unicorn and php-fpm: a live socket is not taken away.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <filesystem>
#include <string>

#include <unistd.h>

namespace {

constexpr Milliseconds soon{4000};

std::string started(const Server& server)
{
    return "write=" + encode(server.directory() / "pid");
}

pid_t wait_started(const Server& server)
{
    REQUIRE(wait_for([&] { return exists(server.directory() / "pid"); }));
    return std::stoi(read_file(server.directory() / "pid"));
}

}  // namespace

TEST_CASE("stop: TERM ends an idle server with 0 and removes the socket", "[stop]")
{
    Server server;
    REQUIRE(server.serves());
    CHECK(server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK_FALSE(exists(server.socket()));
}

TEST_CASE("stop: TERM lets the running request finish", "[stop]")
{
    Server server;
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(
        server.get("act", started(server) + "&wait=" + encode(go) + "&text=finished").bytes());
    wait_started(server);
    server.signal(SIGTERM);
    pause_for(Milliseconds{200});  // in which a quick stop would have killed it
    CHECK(server.process().running());
    write_file(go, "");
    CHECK(client.read_reply().body() == "finished");
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
}

TEST_CASE("stop: a TCP port is closed at once while the last request runs", "[stop]")
{
    const std::string tcp = free_address();
    Server server({.pool = "workers = 2\nbind = " + tcp + "\n", .wait = false});
    REQUIRE(server.wait_log("ready"));
    const std::string go = server.directory() / "go";
    FastcgiClient client(tcp);
    client.send(
        server.get("act", started(server) + "&wait=" + encode(go) + "&text=finished").bytes());
    wait_started(server);
    server.signal(SIGTERM);
    CHECK(wait_for([&] {
        const int fd = try_connect(tcp);
        if (fd >= 0)
            ::close(fd);
        return fd < 0;
    }));
    CHECK(server.process().running());
    write_file(go, "");
    CHECK(client.read_reply().body() == "finished");
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
}

TEST_CASE("stop: TERM sends a long reply to its end", "[stop]")
{
    Server server;
    FastcgiClient client(server.address());
    client.hold_reading(true);
    client.send(server.get("act", started(server) + "&plain&fill=5000000").bytes());
    wait_started(server);
    server.signal(SIGTERM);
    pause_for(Milliseconds{100});
    client.hold_reading(false);
    const Reply reply = client.read_reply();
    CHECK(reply.complete());
    CHECK(reply.body().size() == 5000000);
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
}

TEST_CASE("stop: requests that were accepted before TERM are answered", "[stop]")
{
    Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    FastcgiClient client(server.address());
    client.send(server.get("act", started(server) + "&sleep=200&text=first").bytes());
    wait_started(server);
    server.signal(SIGTERM);
    CHECK(client.read_reply().body() == "first");
}

TEST_CASE("stop: after TERM new connections are refused or end and never hang", "[stop]")
{
    Server server;
    const std::string go = server.directory() / "go";
    FastcgiClient running(server.address());
    running.send(
        server.get("act", started(server) + "&wait=" + encode(go) + "&text=finished").bytes());
    wait_started(server);
    server.signal(SIGTERM);
    CHECK(wait_for([&] {
        const int fd = try_connect(server.address());
        if (fd < 0)
            return true;
        ::close(fd);
        return false;
    }));
    write_file(go, "");
    CHECK(running.read_reply().body() == "finished");
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
}

TEST_CASE("stop: connections in the queue at TERM end and never hang", "[stop]")
{
    Server server({.pool = "workers = 1\n"});
    const std::string go = server.directory() / "go";
    FastcgiClient running(server.address());
    running.send(
        server.get("act", started(server) + "&wait=" + encode(go) + "&text=finished").bytes());
    wait_started(server);
    FastcgiClient queued(server.address());
    queued.send(server.get("act", "text=queued").bytes());
    server.signal(SIGTERM);
    pause_for(Milliseconds{50});
    write_file(go, "");
    CHECK(running.read_reply().body() == "finished");
    CHECK(queued.read_reply().end != End::deadline);
}

TEST_CASE("stop: graceful_timeout bounds the wait and the program is ended", "[stop]")
{
    Server server({.pool = "graceful_timeout = 500ms\n"});
    FastcgiClient client(server.address());
    client.send(server.get("act", "ignore=15&" + started(server) + "&sleep=600000").bytes());
    const pid_t program = wait_started(server);
    const Stopwatch watch;
    CHECK(server.stop(SIGTERM, soon).has_value());
    CHECK(watch.elapsed() >= Milliseconds{400});
    CHECK(wait_for([&] { return !alive(program); }, soon));
    CHECK(client.wait_closed(soon));
}

TEST_CASE("stop: INT and QUIT end at once although a program runs", "[stop]")
{
    for (const int signo : {SIGINT, SIGQUIT}) {
        Server server({.pool = "graceful_timeout = 60s\n"});
        FastcgiClient client(server.address());
        client.send(server.get("act", started(server) + "&sleep=600000").bytes());
        const pid_t program = wait_started(server);
        CHECK(server.stop(signo, soon) == ExitStatus{0, 0});
        CHECK(wait_for([&] { return !alive(program); }, Milliseconds{1000}));
        CHECK(client.wait_closed(soon));
    }
}

TEST_CASE("stop: QUIT ends at once although a client does not take its reply", "[stop]")
{
    Server server({.pool = "workers = 1\nsend_timeout = 0\n"});
    FastcgiClient client(server.address());
    client.hold_reading(true);
    client.send(server.get("act", started(server) + "&plain&fill=100000000").bytes());
    const pid_t program = wait_started(server);
    REQUIRE(wait_asleep({server.worker(), program}));
    ::kill(program, SIGKILL);
    REQUIRE(wait_for([&] { return !alive(program); }));
    CHECK(server.stop(SIGQUIT, soon) == ExitStatus{0, 0});
    CHECK(server.wait_log("did not take its reply"));
}

TEST_CASE("stop: INT ends at once although the program ignores TERM", "[stop]")
{
    Server server({.pool = "graceful_timeout = 60s\nkill_grace = 500ms\n"});
    FastcgiClient client(server.address());
    client.send(server.get("act", "ignore=15&" + started(server) + "&sleep=600000").bytes());
    const pid_t program = wait_started(server);
    CHECK(server.stop(SIGINT, soon).has_value());
    CHECK(wait_for([&] { return !alive(program); }, Milliseconds{1000}));
}

TEST_CASE("stop: INT cuts the wait of TERM short", "[stop]")
{
    Server server({.pool = "graceful_timeout = 60s\n"});
    FastcgiClient client(server.address());
    client.send(server.get("act", started(server) + "&sleep=600000").bytes());
    wait_started(server);
    server.signal(SIGTERM);
    pause_for(Milliseconds{100});
    REQUIRE(server.process().running());
    CHECK(server.stop(SIGINT, soon).has_value());
}

TEST_CASE("stop: idle kept and silent connections do not delay a stop", "[stop]")
{
    Server server({.pool = "graceful_timeout = 60s\n"});
    FastcgiClient silent(server.address());
    FastcgiClient half(server.address());
    half.send(server.get("act", "text=x").head().substr(0, 50));
    FastcgiClient kept(server.address());
    Request request = server.get("act", "text=kept");
    request.keep = true;
    kept.send(request.bytes());
    REQUIRE(kept.read_reply().body() == "kept");
    CHECK(server.stop(SIGTERM, soon) == ExitStatus{0, 0});
}

TEST_CASE("stop: a start over the socket file of a crash succeeds", "[stop]")
{
    Server server;
    server.process().kill();
    REQUIRE(wait_for([] { return adopted().empty(); }));
    REQUIRE(exists(server.socket()));
    server.start();
    CHECK(server.serves());
}

TEST_CASE("stop: a second server on a live socket fails with 1 and the first goes on", "[stop]")
{
    const Server first;
    Server second({.pool = "bind = " + first.address() + "\n", .wait = false});
    CHECK(second.process().wait() == ExitStatus{1, 0});
    CHECK(second.log().find(first.socket()) != std::string::npos);
    CHECK(exists(first.socket()));
    CHECK(first.serves());
}

TEST_CASE("stop: a second server on a live port fails with 1 and the first goes on", "[stop]")
{
    const std::string tcp = free_address();
    const Server first({.pool = "bind = " + tcp + "\n", .wait = false});
    REQUIRE(wait_for([&] {
        const int fd = try_connect(tcp);
        if (fd >= 0)
            ::close(fd);
        return fd >= 0;
    }));
    Server second({.pool = "bind = " + tcp + "\n", .wait = false});
    CHECK(second.process().wait() == ExitStatus{1, 0});
    CHECK(second.log().find(tcp) != std::string::npos);
    CHECK(ask(tcp, first.get("act", "text=alive")).body() == "alive");
}

TEST_CASE("stop: a file that is no socket is not replaced", "[stop]")
{
    const TempDir directory;
    const std::string path = directory / "precious";
    write_file(path, "data");
    Server server({.pool = "bind = unix:" + path + "\n", .wait = false});
    CHECK(server.process().wait() == ExitStatus{1, 0});
    CHECK(read_file(path) == "data");
}

TEST_CASE("stop: a socket file that another server has put there stays", "[stop]")
{
    Server server;
    REQUIRE(server.serves());
    std::filesystem::remove(server.socket());
    const int other = listen_on(server.address());
    server.leaves_socket();
    CHECK(server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK(exists(server.socket()));
    ::close(other);
}
