// abort_test.cc - clients that leave, and programs and clients that take too long: every request
// ends.
// Source   nginx (fastcgi_ignore_client_abort), Apache (TERM, then KILL), php-fpm
//          (request_terminate_timeout).
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

constexpr Milliseconds soon{5000};

// A program that runs until it is killed and says when it has started.
Request endless(const Server& server, const std::string& before = "")
{
    return server.get("act",
                      before + "write=" + encode(server.directory() / "pid") + "&sleep=600000");
}

pid_t wait_started(const Server& server)
{
    REQUIRE(wait_for([&] { return exists(server.directory() / "pid"); }));
    return std::stoi(read_file(server.directory() / "pid"));
}

bool wait_gone(pid_t pid, Milliseconds patience = soon)
{
    return wait_for([&] { return !alive(pid); }, patience);
}

}  // namespace

TEST_CASE("abort: a client that leaves ends its silent program", "[abort]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(endless(server).bytes());
    const pid_t program = wait_started(server);
    client.close();
    CHECK(wait_gone(program));
    CHECK(server.serves());
}

TEST_CASE("abort: a client that leaves over TCP ends its silent program", "[abort]")
{
    const std::string tcp = free_address();
    const Server server({.pool = "bind = " + tcp + "\n", .wait = false});
    REQUIRE(wait_for([&] {
        const int fd = try_connect(tcp);
        if (fd >= 0)
            ::close(fd);
        return fd >= 0;
    }));
    FastcgiClient client(tcp);
    client.send(endless(server).bytes());
    const pid_t program = wait_started(server);
    client.reset();
    CHECK(wait_gone(program));
}

TEST_CASE("abort: ABORT_REQUEST ends the program and the request", "[abort]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(endless(server).bytes());
    const pid_t program = wait_started(server);
    client.send(bytes_of({1, fastcgi::abort_request, 1, "", 0}));
    CHECK(client.read_reply().end != End::deadline);
    CHECK(wait_gone(program));
    CHECK(server.serves());
}

TEST_CASE("abort: ABORT_REQUEST within the body ends the program", "[abort]")
{
    const Server server;
    Request request = endless(server);
    request.set("CONTENT_LENGTH", "100");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "part"));
    const pid_t program = wait_started(server);
    client.send(bytes_of({1, fastcgi::abort_request, 1, "", 0}));
    CHECK(client.read_reply().end != End::deadline);
    CHECK(wait_gone(program));
}

TEST_CASE("abort: what ends a request ends it at once when it comes with the head", "[abort]")
{
    const Server server({.pool = "workers = 1\n"});
    const Request request = server.get("act", "sleep=600000");
    for (const std::string& end :
         {bytes_of({1, fastcgi::abort_request, 1, "", 0}), std::string(8, 'x')}) {
        FastcgiClient client(server.address());
        client.send(request.head() + stream_of(fastcgi::std_in, 1, "part") + end);
        CHECK(client.wait_closed(soon));
        CHECK(server.serves());
    }
}

TEST_CASE("abort: a client that leaves during its upload ends the program", "[abort]")
{
    const Server server;
    Request request = endless(server, "drain&");
    request.set("QUERY_STRING",
                "write=" + encode(server.directory() / "pid") + "&drain&sleep=600000");
    request.set("CONTENT_LENGTH", "1000000");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, std::string(5000, 'b')));
    const pid_t program = wait_started(server);
    client.close();
    CHECK(wait_gone(program));
    CHECK(server.serves());
}

TEST_CASE("abort: a client that leaves while it gets output ends the program", "[abort]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(server
                    .get("act",
                         "write=" + encode(server.directory() / "pid") +
                             "&plain&fill=100000000&sleep=600000")
                    .bytes());
    const pid_t program = wait_started(server);
    REQUIRE(client.read_record());
    client.close();
    CHECK(wait_gone(program));
}

TEST_CASE("abort: a program that ignores TERM is killed after kill_grace", "[abort]")
{
    const Server server({.pool = "kill_grace = 200ms\n"});
    FastcgiClient client(server.address());
    client.send(endless(server, "ignore=15&ignore=1&ignore=2&").bytes());
    const pid_t program = wait_started(server);
    client.close();
    CHECK(wait_gone(program));
    CHECK(server.serves());
}

TEST_CASE("abort: the program gets TERM first and may clean up", "[abort]")
{
    const Server server({.pool = "kill_grace = 10s\n"});
    const std::string mark = server.directory() / "cleaned";
    server.add_program("tidy.sh",
                       "#!/bin/sh\ntrap 'echo yes >" + mark +
                           "; exit 0' TERM\n"
                           "echo >" +
                           server.directory() / "pid" + "\nwhile :; do sleep 0.05; done\n");
    FastcgiClient client(server.address());
    client.send(server.get("tidy.sh").bytes());
    REQUIRE(wait_for([&] { return exists(server.directory() / "pid"); }));
    client.close();
    CHECK(wait_for([&] { return exists(mark); }, soon));
}

TEST_CASE("abort: children of the program end with it", "[abort]")
{
    const Server server;
    FastcgiClient client(server.address());
    const std::string child = server.directory() / "child";
    client.send(
        endless(server, "fork&ignore=15&write=" + encode(child) + "&sleep=600000&end&").bytes());
    const pid_t program = wait_started(server);
    REQUIRE(wait_for([&] { return exists(child); }));
    client.close();
    CHECK(wait_gone(program));
    CHECK(wait_gone(std::stoi(read_file(child))));
}

TEST_CASE("abort: with ignore_client_abort the program finishes", "[abort]")
{
    const Server server({.pool = "ignore_client_abort = yes\n"});
    const std::string go = server.directory() / "go";
    const std::string done = server.directory() / "done";
    FastcgiClient client(server.address());
    client.send(server
                    .get("act",
                         "write=" + encode(server.directory() / "pid") + "&wait=" + encode(go) +
                             "&plain&fill=100000&write=" + encode(done))
                    .bytes());
    wait_started(server);
    client.close();
    pause_for(Milliseconds{200});  // in which it would be killed
    write_file(go, "");
    CHECK(wait_for([&] { return exists(done); }));
}

TEST_CASE("abort: with ignore_client_abort half an upload still ends the program", "[abort]")
{
    const Server server({.pool = "ignore_client_abort = yes\n"});
    const std::string done = server.directory() / "done";
    Request request = server.post(
        "act", "write=" + encode(server.directory() / "pid") + "&drain&write=" + encode(done), "");
    request.set("CONTENT_LENGTH", "10000");
    for (const bool leaves : {true, false}) {
        std::filesystem::remove(server.directory() / "pid");
        FastcgiClient client(server.address());
        client.send(request.head() + stream_of(fastcgi::std_in, 1, std::string(5000, 'b')));
        const pid_t program = wait_started(server);
        if (leaves)
            client.close();
        else
            client.send(bytes_of({1, fastcgi::abort_request, 1, "", 0}));
        CHECK(wait_gone(program));
        CHECK_FALSE(exists(done));
    }
}

TEST_CASE("abort: with ignore_client_abort the program gets all of an upload that was sent",
          "[abort]")
{
    const Server server({.pool = "ignore_client_abort = yes\n"});
    const std::string go = server.directory() / "go";
    const std::string count = server.directory() / "count";
    server.add_program("count.sh",
                       "#!/bin/sh\necho $$ >" + server.directory() / "pid" + "\nuntil [ -e " + go +
                           " ]; do sleep 0.02; done\n"
                           "wc -c >" +
                           count + "\n");
    // More than the pipe and the worker's buffer hold.
    const std::string body(180000, 'b');
    FastcgiClient client(server.address());
    REQUIRE(client.send(server.post("count.sh", "", body).bytes()));
    REQUIRE(wait_for([&] { return exists(server.directory() / "pid"); }));
    client.close();
    write_file(go, "");
    CHECK(wait_for([&] { return read_file(count) == std::to_string(body.size()) + "\n"; }, soon));
}

TEST_CASE("abort: a program over request_timeout is 504 and is ended", "[abort]")
{
    const Server server({.pool = "request_timeout = 2s\n"});
    const Stopwatch watch;
    const Reply reply = server.ask(endless(server));
    REQUIRE(reply.complete());
    CHECK(reply.status() == 504);
    CHECK(watch.elapsed() >= Milliseconds{1900});
    CHECK(watch.elapsed() < soon);
    CHECK(wait_gone(wait_started(server)));
    CHECK(server.wait_log("request_timeout"));
}

TEST_CASE("abort: a program over request_timeout that ignores TERM is ended as well", "[abort]")
{
    const Server server({.pool = "request_timeout = 2s\nkill_grace = 200ms\n"});
    const Reply reply = server.ask(endless(server, "ignore=15&"));
    CHECK(reply.end != End::deadline);
    CHECK(wait_gone(wait_started(server)));
    CHECK(wait_for([&] { return server.serves(); }));
}

TEST_CASE("abort: a program that has joined its worker's process group is ended", "[abort]")
{
    const Server server({.pool = "request_timeout = 2s\n"});
    const std::string joined = server.directory() / "joined";
    server.add_program("joins.pl",
                       "#!/usr/bin/perl\n"
                       "setpgrp(0, getpgrp(getppid())) or die;\n"
                       "open(my $mark, '>', $ENV{QUERY_STRING}) or die;\n"
                       "sleep 600;\n");
    CHECK(server.ask(server.get("joins.pl", joined)).status() == 504);
    CHECK(exists(joined));
    CHECK(wait_for([&] { return server.programs().empty(); }, soon));
    CHECK(wait_for([&] { return server.serves(); }));
}

TEST_CASE("abort: request_timeout after the header leaves a reply that does not look complete",
          "[abort]")
{
    const Server server({.pool = "request_timeout = 2s\n"});
    FastcgiClient client(server.address());
    client.send(endless(server, "plain&out=begun&").bytes());
    const Reply reply = client.read_reply();
    CHECK(reply.end == End::invalid);
    CHECK(reply.body() == "begun");
    CHECK(client.wait_closed());
    CHECK(wait_gone(wait_started(server)));
}

TEST_CASE("abort: a program that neither reads nor writes is ended by script_idle_timeout",
          "[abort]")
{
    const Server server({.pool = "script_idle_timeout = 2s\n"});
    const Reply reply = server.ask(endless(server));
    REQUIRE(reply.complete());
    CHECK(reply.status() == 504);
    CHECK(wait_gone(wait_started(server)));
    CHECK(server.wait_log("script_idle_timeout"));
}

TEST_CASE("abort: a program that writes now and then is not idle", "[abort]")
{
    const Server server({.pool = "script_idle_timeout = 3s\n"});
    std::string steps = "plain";
    for (int i = 0; i < 18; ++i)
        steps += "&sleep=200&out=x";
    const Reply reply = server.act(steps);
    REQUIRE(reply.complete());
    CHECK(reply.body() == std::string(18, 'x'));
}

TEST_CASE("abort: a program that writes to stderr now and then is not idle", "[abort]")
{
    const Server server({.pool = "script_idle_timeout = 3s\n"});
    std::string steps;
    for (int i = 0; i < 18; ++i)
        steps += "sleep=200&err=x%0a&";
    const Reply reply = server.act(steps + "text=done");
    REQUIRE(reply.complete());
    CHECK(reply.status() == 200);
}

TEST_CASE("abort: a head that is not complete within head_timeout closes the connection", "[abort]")
{
    const Server server({.pool = "head_timeout = 300ms\n"});
    const Stopwatch watch;
    FastcgiClient silent(server.address());
    FastcgiClient half(server.address());
    const std::string head = server.get("act", "text=x").head();
    half.send(head.substr(0, head.size() / 2));
    CHECK(silent.wait_closed(soon));
    CHECK(half.wait_closed(soon));
    CHECK(watch.elapsed() >= Milliseconds{300});
}

TEST_CASE("abort: a head that trickles in does not outlive head_timeout", "[abort]")
{
    const Server server({.pool = "head_timeout = 400ms\n"});
    FastcgiClient client(server.address());
    const std::string head = server.get("act", "text=x").head();
    const Stopwatch watch;
    for (std::size_t i = 0; i < head.size() && client.send(head.substr(i, 1)); ++i) {
        pause_for(Milliseconds{20});
        if (client.closed() || watch.elapsed() > soon)
            break;
    }
    CHECK(client.wait_closed(soon));
    CHECK(watch.elapsed() < soon);
}

TEST_CASE("abort: a head that came in time is served after another request that took longer",
          "[abort]")
{
    const Server server({.pool = "workers = 1\nhead_timeout = 3s\n"});
    const std::string go = server.directory() / "go";
    FastcgiClient first(server.address());
    FastcgiClient second(server.address());
    CHECK(server.serves());  // connections are accepted in turn: both are, and have sent nothing
    first.send(server.get("act", "plain&out=begun&wait=" + encode(go)).bytes());
    REQUIRE(first.wait_for_output("begun"));
    second.send(server.get("act", "text=late").bytes());
    pause_for(Milliseconds{3300});
    write_file(go, "");
    CHECK(second.read_reply().body() == "late");
}

TEST_CASE("abort: a body that stops is ended by body_timeout", "[abort]")
{
    const Server server({.pool = "body_timeout = 300ms\n"});
    Request request = server.post("act", "drain&text=x", "");
    request.set("CONTENT_LENGTH", "100");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "part"));
    const Reply reply = client.read_reply(1, soon);
    CHECK(reply.end != End::deadline);
    if (reply.end == End::ended)
        CHECK(reply.status() >= 400);
    CHECK(wait_for([&] { return server.programs().empty(); }, soon));
}

TEST_CASE("abort: a client that takes no output is ended by send_timeout", "[abort]")
{
    const Server server({.pool = "send_timeout = 300ms\n"});
    FastcgiClient client(server.address());
    client.hold_reading(true);
    client.send(server
                    .get("act",
                         "write=" + encode(server.directory() / "pid") +
                             "&plain&fill=100000000&sleep=600000")
                    .bytes());
    CHECK(wait_gone(wait_started(server)));
    client.hold_reading(false);
    CHECK(client.wait_closed());
}

TEST_CASE("abort: a broken record from a client that takes no output ends the request", "[abort]")
{
    const Server server({.pool = "workers = 1\nsend_timeout = 0\n"});
    FastcgiClient client(server.address());
    client.hold_reading(true);
    client.send(
        server.get("act", "write=" + encode(server.directory() / "pid") + "&plain&fill=100000000")
            .bytes());
    const pid_t program = wait_started(server);
    REQUIRE(wait_asleep({server.worker(), program}));
    client.send(std::string(8, 'x'));
    CHECK(wait_gone(program));
    CHECK(server.serves());
    CHECK(server.wait_log("broke the protocol"));
}

TEST_CASE("abort: clients that send slowly do not occupy workers", "[abort]")
{
    const Server server({.pool = "workers = 1\n"});
    std::vector<FastcgiClient> slow;
    const std::string head = server.get("act", "text=slow").head();
    for (std::size_t i = 0; i < 16; ++i) {
        slow.emplace_back(server.address());
        slow.back().send(head.substr(0, 20 + i));
    }
    for (int i = 0; i < 5; ++i)
        CHECK(server.serves());
    const std::string rest = server.get("act", "text=slow").bytes();
    for (std::size_t i = 0; i < slow.size(); ++i)
        slow[i].send(rest.substr(20 + i));
    for (auto& client : slow)
        CHECK(client.read_reply().body() == "slow");
}

TEST_CASE("abort: 50 clients that leave at any moment leave the server as it was", "[abort]")
{
    const Server server;
    std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same moments in each run
    const std::string bytes =
        server.post("act", "plain&echo&fill=50000&sleep=20", std::string(20000, 'b')).bytes();
    for (int i = 0; i < 50; ++i) {
        FastcgiClient client(server.address());
        client.send(bytes.substr(0, random() % (bytes.size() + 1)));
        if (random() % 2 == 0)
            client.read_record(Milliseconds{static_cast<int>(random() % 10)});
    }
    CHECK(server.serves());
    CHECK(wait_for([&] { return server.programs().empty(); }, soon));
}

TEST_CASE("abort: the input flood of an aborted request does not make the server spin", "[abort]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    FastcgiClient client(server.address());
    Request request = endless(server);
    request.set("CONTENT_LENGTH", "10000000");
    client.send(request.head() + bytes_of({1, fastcgi::abort_request, 1, "", 0}));
    client.send(stream_of(fastcgi::std_in, 1, std::string(10000000, 'b')), Milliseconds{500});
    CHECK(server.serves());
    const long before = cpu_ticks(worker);
    pause_for(Milliseconds{2000});
    CHECK(cpu_ticks(worker) - before < 20);
}

TEST_CASE("abort: clients that leave in the middle of endless replies give their workers back",
          "[abort]")
{
    const Server server;
    for (int i = 0; i < 20; ++i) {
        FastcgiClient client(server.address());
        client.send(
            server
                .get("act", i % 2 == 0 ? "plain&fill=4000000000" : "plain&fill=50000&sleep=600000")
                .bytes());
        CHECK(client.read_record());
    }
    CHECK(wait_for([&] { return server.programs().empty(); }, soon));
    CHECK(server.serves());
}
