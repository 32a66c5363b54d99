// worker_test.cc - workers come, go, are replaced and watched; nothing outlives what started it.
// Source   gunicorn arbiter.py (signals, murder_workers, reap_workers, exit codes 3 and 4).
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

namespace {

constexpr Milliseconds soon{5000};

Request endless(const Server& server)
{
    return server.get("act", "write=" + encode(server.directory() / "pid") + "&sleep=600000");
}

pid_t wait_started(const Server& server)
{
    REQUIRE(wait_for([&] { return exists(server.directory() / "pid"); }));
    return std::stoi(read_file(server.directory() / "pid"));
}

// The worker that runs the program.
pid_t parent_of(const Server& server, pid_t program)
{
    for (const pid_t worker : server.workers()) {
        const auto children = children_of(worker);
        if (std::find(children.begin(), children.end(), program) != children.end())
            return worker;
    }
    FAIL("no worker has this program");
    return 0;
}

bool wait_gone(pid_t pid, Milliseconds patience = soon)
{
    return wait_for([&] { return !alive(pid); }, patience);
}

}  // namespace

TEST_CASE("workers: there are as many as the pool says", "[process]")
{
    const Server server({.pool = "workers = 3\n"});
    CHECK(server.wait_workers(3));
}

TEST_CASE("workers: WEB_CONCURRENCY sets the number when nothing else does", "[process]")
{
    const Server server({.pool = "workers =\n", .environment = {{"WEB_CONCURRENCY", "5"}}});
    CHECK(server.wait_workers(5));
}

TEST_CASE("workers: the processes say in their titles what they are", "[process]")
{
    const Server server;
    REQUIRE(server.wait_workers(2));
    CHECK(wait_for([&] { return title_of(server.pid()) == "tricorn: arbiter"; }));
    for (const pid_t worker : server.workers())
        CHECK(wait_for([&] { return title_of(worker) == "tricorn: worker [www]"; }));
}

TEST_CASE("workers: a worker that dies is replaced", "[process]")
{
    const Server server;
    REQUIRE(server.serves());  // a first boot that crashes would end the server
    REQUIRE(server.wait_workers(2));
    const pid_t victim = server.worker();
    ::kill(victim, SIGKILL);
    CHECK(wait_for([&] {
        const auto workers = server.workers();
        return workers.size() == 2 &&
               std::find(workers.begin(), workers.end(), victim) == workers.end();
    }));
    CHECK(server.serves());
    CHECK(server.wait_log("SIGKILL"));
}

TEST_CASE("workers: a worker killed while it serves ends the connection at once", "[process]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(endless(server).bytes());
    ::kill(parent_of(server, wait_started(server)), SIGKILL);
    const Reply reply = client.read_reply(1, soon);
    CHECK((reply.end == End::closed || reply.end == End::reset));
    CHECK(server.serves());
}

TEST_CASE("workers: a worker killed while it serves takes its program along", "[process]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(endless(server).bytes());
    const pid_t program = wait_started(server);
    ::kill(parent_of(server, program), SIGKILL);
    CHECK(wait_gone(program));
}

TEST_CASE("workers: when the arbiter is killed everything is gone within two seconds", "[process]")
{
    Server server;
    FastcgiClient client(server.address());
    client.send(endless(server).bytes());
    const pid_t program = wait_started(server);
    REQUIRE(server.wait_workers(2));
    const auto workers = server.workers();
    server.leaves_socket();
    server.process().kill();
    constexpr Milliseconds limit{2000};
    const Stopwatch watch;
    for (const pid_t worker : workers)
        CHECK(wait_gone(worker, limit - watch.elapsed()));
    CHECK(wait_gone(program, limit - watch.elapsed()));
}

TEST_CASE("workers: killing one does not make the arbiter burn CPU", "[process]")
{
    const Server server;
    REQUIRE(server.serves());  // a first boot that crashes would end the server
    REQUIRE(server.wait_workers(2));
    const pid_t victim = server.worker();
    ::kill(victim, SIGKILL);
    REQUIRE(wait_gone(victim));
    REQUIRE(server.wait_workers(2));
    CHECK(server.serves());
    const long before = cpu_ticks(server.pid());
    pause_for(Milliseconds{600});
    CHECK(cpu_ticks(server.pid()) - before < 10);
}

TEST_CASE("workers: an idle server burns no CPU", "[process]")
{
    const Server server;
    REQUIRE(server.serves());
    REQUIRE(server.wait_workers(2));
    std::vector<pid_t> all = server.workers();
    all.push_back(server.pid());
    long before = 0;
    for (const pid_t pid : all)
        before += cpu_ticks(pid);
    pause_for(Milliseconds{1000});
    long after = 0;
    for (const pid_t pid : all)
        after += cpu_ticks(pid);
    CHECK(after - before < 5);
}

TEST_CASE("workers: TTIN adds one and TTOU takes one away but never the last", "[process]")
{
    const Server server;
    REQUIRE(server.wait_workers(2));
    server.signal(SIGTTIN);
    CHECK(server.wait_workers(3));
    server.signal(SIGTTOU);
    CHECK(server.wait_workers(2));
    for (int i = 0; i < 4; ++i) {
        server.signal(SIGTTOU);
        pause_for(Milliseconds{30});  // signals of one kind melt into one
    }
    CHECK(server.wait_workers(1));
    CHECK(server.serves());
    server.signal(SIGTTIN);
    CHECK(server.wait_workers(2));
}

TEST_CASE("workers: harmless signals to the arbiter change nothing", "[process]")
{
    const Server server({.global = "log_level = debug\n"});
    const auto workers = server.workers();
    for (const int signo : {SIGCHLD, SIGPIPE, SIGCONT, SIGURG, SIGWINCH}) {
        server.signal(signo);
        CHECK(server.serves());
    }
    CHECK(server.wait_log("SIGWINCH is for daemons"));
    CHECK(server.workers() == workers);
}

TEST_CASE("workers: stray signals to a worker lose no request", "[process]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.wait_workers(1));
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    for (const int signo : {SIGPIPE, SIGCHLD, SIGWINCH, SIGURG, SIGCONT}) {
        ::kill(worker, signo);
        CHECK(server.serves());
    }
    CHECK(server.workers() == std::vector<pid_t>{worker});
}

TEST_CASE("workers: a worker asked to stop by TERM finishes its request first", "[process]")
{
    const Server server;
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server
                    .get("act",
                         "write=" + encode(server.directory() / "pid") + "&wait=" + encode(go) +
                             "&text=finished")
                    .bytes());
    const pid_t worker = parent_of(server, wait_started(server));
    ::kill(worker, SIGTERM);
    pause_for(Milliseconds{100});
    write_file(go, "");
    CHECK(client.read_reply().body() == "finished");
    CHECK(wait_gone(worker));
    CHECK(server.wait_workers(2));
}

TEST_CASE("workers: a stopped worker is killed after timeout and replaced", "[process]")
{
    const Server server({.pool = "workers = 1\ntimeout = 1s\n"});
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    ::kill(worker, SIGSTOP);
    CHECK(wait_for([&] { return !alive(worker); }, Milliseconds{8000}));
    CHECK(wait_for([&] { return server.serves(); }));
    CHECK(server.wait_log("timeout"));
}

TEST_CASE("workers: a slow program does not make its worker silent", "[process]")
{
    const Server server({.pool = "workers = 1\ntimeout = 2s\n"});
    REQUIRE(server.serves());
    const auto workers = server.workers();
    CHECK(server.act("sleep=5000&text=slow").body() == "slow");
    CHECK(server.workers() == workers);
}

TEST_CASE("workers: a reader that is slow does not make its worker silent", "[process]")
{
    const Server server({.pool = "workers = 1\ntimeout = 2s\n"});
    REQUIRE(server.serves());
    const auto workers = server.workers();
    FastcgiClient client(server.address());
    client.hold_reading(true);
    client.send(server.get("act", "plain&fill=10000000").bytes());
    pause_for(Milliseconds{5000});
    client.hold_reading(false);
    CHECK(client.read_reply().body().size() == 10000000);
    CHECK(server.workers() == workers);
}

TEST_CASE("workers: max_requests replaces a worker and loses no request", "[process]")
{
    const Server server({.pool = "workers = 1\nmax_requests = 5\n"});
    REQUIRE(server.wait_workers(1));
    const pid_t first = server.worker();
    for (int i = 0; i < 23; ++i)
        CHECK(server.serves());
    CHECK_FALSE(alive(first));
    CHECK(server.wait_workers(1));
}

TEST_CASE("workers: 60 requests of every kind leave no zombie", "[process]")
{
    const Server server;
    const std::vector<std::string> steps{"text=x",
                                         "exit=1",
                                         "kill=11",
                                         "plain&fill=9000&kill=9",
                                         "fork&sleep=10&end&text=x",
                                         "close=1&close=2&sleep=5"};
    for (std::size_t i = 0; i < 60; ++i) {
        if (i % 7 == 0)
            FastcgiClient(server.address()).send(server.get("act", "sleep=300").bytes());
        server.act(steps[i % steps.size()]);
    }
    CHECK(wait_for([&] { return server.programs().empty() && !any_zombie_beneath(server.pid()); }));
}

TEST_CASE("workers: a worker that dies again and again is not replaced without pause", "[process]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const auto pauses = [&] { return count_of(server.log(), "the next worker is started in"); };
    int deaths = 0;
    for (; deaths < 50 && pauses() == 0; ++deaths) {
        const pid_t worker = server.worker();
        ::kill(worker, SIGKILL);
        REQUIRE(wait_gone(worker));
    }
    CHECK(pauses() > 0);
    CHECK(wait_for([&] { return server.serves(); }, Milliseconds{10000}));
}

TEST_CASE("workers: one that is killed by its first request is replaced at once", "[process]")
{
    const Server server({.pool = "workers = 1\n"});
    for (int i = 0; i < 4; ++i) {
        REQUIRE(server.wait_workers(1));
        const pid_t victim = server.worker();
        FastcgiClient client(server.address());
        client.send(server.get("act", "plain&out=begun&sleep=60000").bytes());
        REQUIRE(client.wait_for_output("begun"));
        ::kill(victim, SIGKILL);
        CHECK(wait_for([&] {
            const auto workers = workers_of(server.pid());
            return workers.size() == 1 && workers[0] != victim;
        }));
    }
    CHECK(server.serves());
    CHECK(server.log().find("the next worker is started in") == std::string::npos);
}
