// faults_test.cc - the machine beneath the server fails: clocks that jump, disks and pipes that are
// full, no descriptors, a pause of everything. What can go on goes on.
// Source   gunicorn #1305 (heartbeats and clocks); a disk full of logs as in CVE-2015-9253; frozen
//          containers and laptops that sleep.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <string>

namespace {

std::size_t count_of(const std::string& text, const std::string& part)
{
    std::size_t count = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

}  // namespace

TEST_CASE("faults: a pause of the whole server is no reason to abort a worker", "[faults]")
{
    const Server server({.pool = "workers = 2\ntimeout = 1s\n"});
    REQUIRE(server.serves());
    REQUIRE(server.wait_workers(2));
    const auto workers = server.workers();
    FastcgiClient client(server.address());
    const std::string go = server.directory() / "go";
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(client.wait_for_output("begun"));
    ::kill(server.pid(), SIGSTOP);
    for (const pid_t worker : workers)
        ::kill(worker, SIGSTOP);
    pause_for(Milliseconds{3000});
    // The arbiter is the first to look around.
    ::kill(server.pid(), SIGCONT);
    REQUIRE(server.wait_log("stood still"));
    for (const pid_t worker : workers)
        ::kill(worker, SIGCONT);
    write_file(go, "");
    CHECK(client.wait_for_output("done"));
    pause_for(Milliseconds{1500});
    CHECK(server.workers() == workers);
    CHECK(server.serves());
    CHECK(count_of(server.log(), "aborting it") == 0);
}

TEST_CASE("faults: after a pause a worker that does hang is still found", "[faults]")
{
    const Server server({.pool = "workers = 1\ntimeout = 1s\n"});
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    ::kill(server.pid(), SIGSTOP);
    ::kill(worker, SIGSTOP);
    pause_for(Milliseconds{2500});
    ::kill(server.pid(), SIGCONT);
    CHECK(wait_for([&] { return !alive(worker); }));
    CHECK(server.wait_log("aborting it"));
    CHECK(wait_for([&] { return server.serves(); }));
}
