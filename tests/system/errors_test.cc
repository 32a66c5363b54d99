// errors_test.cc - what the client gets when a program fails, row by row of the error matrix.
// Source   the behaviour of fcgiwrap, mod_cgid, lighttpd and uWSGI for each case, and what ours is
//          to be.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <string>

namespace {

Reply output(const Server& server, const std::string& bytes)
{
    Reply reply = server.act("out=" + encode(bytes));
    REQUIRE(reply.complete());
    return reply;
}

std::string number(int value)
{
    return std::to_string(value);
}

}  // namespace

TEST_CASE("errors: a program that prints nothing is 502", "[errors]")
{
    const Server server;
    CHECK(server.act("exit=0").status() == 502);
    CHECK(server.act("exit=1").status() == 502);
}

TEST_CASE("errors: a body without a header is 502 unless the pool is lenient", "[errors]")
{
    const Server server;
    CHECK(output(server, "<html>\nhello\n</html>\n").status() == 502);
    const Server lenient({.pool = "lenient_headers = yes\n"});
    const Reply reply = output(lenient, "<html>\nhello\n</html>\n");
    CHECK(reply.status() == 200);
    CHECK(reply.body() == "<html>\nhello\n</html>\n");
}

TEST_CASE("errors: output that ends before the blank line is 502", "[errors]")
{
    const Server server;
    CHECK(output(server, "Content-Type: text/plain\n").status() == 502);
    CHECK(output(server, "Content-Type: text/plain").status() == 502);
}

TEST_CASE("errors: a blank first line is 502 unless the pool is lenient", "[errors]")
{
    const Server server;
    CHECK(output(server, "\nbody").status() == 502);
    const Server lenient({.pool = "lenient_headers = yes\n"});
    const Reply reply = output(lenient, "\nbody");
    CHECK(reply.status() == 200);
    CHECK(reply.body() == "body");
}

TEST_CASE("errors: exit status 1 after a good answer leaves the answer intact", "[errors]")
{
    const Server server;
    const Reply reply = server.act("text=good&exit=1");
    REQUIRE(reply.complete());
    CHECK(reply.status() == 200);
    CHECK(reply.body() == "good");
    CHECK(reply.app_status == 1);
}

TEST_CASE("errors: a program that crashes before any output is 502 and the log names the signal",
          "[errors]")
{
    const Server server;
    const Reply reply = server.act("kill=" + number(SIGSEGV));
    REQUIRE(reply.complete());
    CHECK(reply.status() == 502);
    CHECK(server.wait_log("SIGSEGV"));
}

TEST_CASE("errors: what a program says before it crashes stands before the crash in the log",
          "[errors]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(
        server
            .get("act",
                 "wait=" + encode(go) + "&err=a%20line%0alast%20words&kill=" + number(SIGSEGV))
            .bytes());
    REQUIRE(wait_for([&] { return !server.programs().empty(); }));
    const pid_t program = server.programs()[0];
    // The worker is to find all at once.
    ::kill(worker, SIGSTOP);
    write_file(go, "");
    CHECK(wait_for([&] { return state_of(program) == 'Z'; }));
    ::kill(worker, SIGCONT);
    CHECK(client.read_reply().status() == 502);
    REQUIRE(server.wait_log("was killed by SIGSEGV"));
    const std::string log = server.log();
    CHECK(log.find("a line") < log.find("was killed by SIGSEGV"));
    CHECK(log.find("last words") < log.find("was killed by SIGSEGV"));
}

TEST_CASE("errors: a program that crashes within its header is 502", "[errors]")
{
    const Server server;
    CHECK(server.act("out=Content-Type&kill=" + number(SIGSEGV)).status() == 502);
}

TEST_CASE("errors: a reply cut off by a crash does not look complete", "[errors]")
{
    const Server server;
    const Reply reply = server.act("plain&fill=20000&sleep=50&kill=" + number(SIGSEGV));
    CHECK(reply.end == End::invalid);
    CHECK(reply.records.back().version == 0);
    CHECK(server.serves());
}

TEST_CASE("errors: after the invalid record the connection is closed", "[errors]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&fill=100&sleep=50&kill=" + number(SIGKILL)).bytes());
    CHECK(client.read_reply().end == End::invalid);
    CHECK(client.wait_closed());
}

TEST_CASE("errors: a Content-Length that is too short cuts the body and is logged", "[errors]")
{
    const Server server;
    const Reply reply = output(server, "Content-Length: 3\n\nlonger than three");
    CHECK(reply.status() == 200);
    CHECK(reply.body() == "lon");
    CHECK(server.wait_log("Content-Length"));
}

TEST_CASE("errors: a Content-Length that is too long makes the reply incomplete", "[errors]")
{
    const Server server;
    const Reply reply = server.act("out=" + encode("Content-Length: 100\n\nshort"));
    CHECK(reply.end == End::invalid);
    CHECK(server.wait_log("Content-Length"));
    CHECK(server.serves());
}

TEST_CASE("errors: 300 KB on stderr before the answer does no harm", "[errors]")
{
    const Server server;
    const Reply reply = server.act("errfill=300000&text=fine");
    REQUIRE(reply.complete());
    CHECK(reply.body() == "fine");
}

TEST_CASE("errors: stderr never appears in the response", "[errors]")
{
    const Server server;
    const Reply reply = server.act("err=before%0a&text=answer&err=after%0a");
    REQUIRE(reply.complete());
    CHECK(reply.body() == "answer");
    CHECK(reply.err.empty());
    CHECK(server.wait_log("before"));
    CHECK(server.wait_log("after"));
}

TEST_CASE("errors: a program that closes its output and goes on is answered at once", "[errors]")
{
    // Each such program keeps its worker, so that their number stays bounded.
    const Server server({.pool = "workers = 3\n"});
    for (const auto* steps :
         {"text=done&close=1&sleep=20000", "text=done&close=1&close=2&sleep=20000"}) {
        const Stopwatch watch;
        const Reply reply = server.act(steps);
        REQUIRE(reply.complete());
        CHECK(reply.body() == "done");
        CHECK(watch.elapsed() < Milliseconds{3000});
    }
    CHECK(server.serves());
}

TEST_CASE("errors: a program that stays after closing its output is ended", "[errors]")
{
    const Server server({.pool = "drain_time = 200ms\nkill_grace = 200ms\nrequest_timeout = 1s\n"
                                 "script_idle_timeout = 1s\n"});
    CHECK(server.act("text=done&close=1&close=2&ignore=15&sleep=60000").complete());
    CHECK(wait_for([&] { return server.programs().empty(); }, Milliseconds{5000}));
}

TEST_CASE("errors: a background child that holds stdout holds the reply for drain_time only",
          "[errors]")
{
    const Server server({.pool = "drain_time = 300ms\n"});
    const Stopwatch watch;
    const Reply reply = server.act("text=done&fork&sleep=20000&end");
    REQUIRE(reply.complete());
    CHECK(reply.body() == "done");
    CHECK(watch.elapsed() >= Milliseconds{250});
    CHECK(watch.elapsed() < Milliseconds{5000});
}

TEST_CASE("errors: a background child that holds only stderr does not hold the reply", "[errors]")
{
    const Server server({.pool = "drain_time = 20s\n"});
    const Stopwatch watch;
    const Reply reply = server.act("text=done&fork&close=1&sleep=30000&end");
    REQUIRE(reply.complete());
    CHECK(reply.body() == "done");
    CHECK(watch.elapsed() < Milliseconds{5000});
}

TEST_CASE("errors: a program that stops itself does not block other requests", "[errors]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(server.get("act", "kill=" + number(SIGSTOP) + "&text=x").bytes());
    REQUIRE(wait_for([&] {
        const auto programs = server.programs();
        return !programs.empty() && state_of(programs[0]) == 'T';
    }));
    for (int i = 0; i < 5; ++i)
        CHECK(server.serves());
}

TEST_CASE("errors: a program killed from outside is 502 and the worker goes on", "[errors]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.wait_workers(1));
    const auto workers = server.workers();
    FastcgiClient client(server.address());
    client.send(server.get("act", "sleep=60000").bytes());
    REQUIRE(wait_for([&] { return !server.programs().empty(); }));
    ::kill(server.programs()[0], SIGKILL);
    CHECK(client.read_reply().status() == 502);
    CHECK(server.serves());
    CHECK(server.workers() == workers);
}

TEST_CASE("errors: a program killed by a signal has an appStatus that is not 0", "[errors]")
{
    const Server server;
    CHECK(server.act("kill=" + number(SIGSEGV)).app_status != 0);
}

TEST_CASE("errors: a program that writes now and then is heard line by line", "[errors]")
{
    const Server server;
    const auto mark = [&](int line) { return server.directory() / "go" + std::to_string(line); };
    std::string steps = "plain";
    for (int line = 1; line <= 4; ++line)
        steps += "&out=line" + std::to_string(line) + "&wait=" + encode(mark(line));
    FastcgiClient client(server.address());
    REQUIRE(client.send(server.get("act", steps).bytes()));
    for (int line = 1; line <= 4; ++line) {
        CHECK(client.wait_for_output("line" + std::to_string(line)));
        write_file(mark(line), "");
    }
    CHECK(client.read_reply().complete());
}

TEST_CASE("errors: error answers are complete and say nothing about the server", "[errors]")
{
    const Server server;
    server.add_program("plain", "text", 0644);
    for (const auto& request :
         {server.get("missing"), server.get("plain"), server.get("act", "exit=1")}) {
        const CgiAnswer answer = server.ask(request).answer();
        CHECK(answer.header("Status"));
        CHECK(answer.header("Content-Type"));
        CHECK_FALSE(answer.body.empty());
        CHECK(answer.body.find("/tmp/") == std::string::npos);
        CHECK(answer.body.find("tricorn-test") == std::string::npos);
    }
}

TEST_CASE("errors: 100 failing requests of every kind leave the server as it was", "[errors]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    const auto descriptors = settled_descriptors(worker);
    server.add_program("noexec", "no interpreter line\n");
    const std::vector<std::string> steps{"exit=1",
                                         "kill=11",
                                         "out=garbage",
                                         "plain&fill=9000&kill=9",
                                         "close=1&close=2",
                                         "out=Status%3a%20abc%0a%0a"};
    for (std::size_t i = 0; i < 90; ++i)
        server.act(steps[i % steps.size()]);
    for (int i = 0; i < 5; ++i) {
        server.ask(server.get("noexec"));
        server.ask(server.get("missing"));
    }
    CHECK(server.serves());
    CHECK(server.workers() == std::vector<pid_t>{worker});
    CHECK(settled_descriptors(worker) == descriptors);
    CHECK(wait_for([&] { return children_of(worker).empty(); }));
}
