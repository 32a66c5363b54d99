// pools_test.cc - several pools in one server: one that fails or goes must not touch the others.
// Source   php-fpm's pools; gunicorn's HaltServer, which a reload must not set off.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <exception>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

std::string other_address(const Server& server)
{
    return "unix:" + server.directory() / "other";
}

// A pool that serves the same root as [www].
Setup with_other(const Server& server, const std::string& lines = "")
{
    return {.more = "[other]\nbind = " + other_address(server) + "\nroot = " + server.root() +
                    "\nworkers = 1\nlisten_mode = 0666\n" + user_line() + lines};
}

bool other_serves(const Server& server)
{
    FastcgiClient client(other_address(server));
    client.send(server.get("act", "text=x").bytes());
    return client.read_reply().body() == "x";
}

// Somebody accepts: the socket file alone may be there a moment earlier.
bool other_listens(const Server& server)
{
    try {
        return other_serves(server);
    } catch (const std::exception&) {
        return false;
    }
}

}  // namespace

TEST_CASE("pools: a reload opens a new pool and closes it again", "[reload]")
{
    Server server;
    server.configure(with_other(server));
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return other_listens(server); }));
    CHECK(other_serves(server));
    CHECK(server.serves());

    server.configure({});
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return !other_listens(server); }));
    CHECK(server.serves());
}

TEST_CASE("pools: a new pool whose workers do not boot leaves the others serving", "[reload]")
{
    Server server;
    write_file(server.directory() / "broken.so", "no shared object\n");
    server.configure(
        {.more = "[other]\nhandler = module\nmodule = " + server.directory() / "broken.so" +
                 "\nbind = " + other_address(server) + "\n" + user_line()});
    server.signal(SIGHUP);
    const bool noticed = server.wait_log("the next worker is started in 1 s");
    INFO(server.log());
    REQUIRE(noticed);
    CHECK(server.process().running());
    CHECK(server.serves());
}

TEST_CASE("pools: a pool that is taken away and comes back keeps its new workers", "[reload]")
{
    Server server;
    server.configure(with_other(server));
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return other_listens(server); }));
    // A request in hand keeps a worker of the removed pool alive over both reloads.
    FastcgiClient busy(other_address(server));
    const std::string go = server.directory() / "go";
    busy.send(server.get("act", "wait=" + encode(go) + "&text=late").bytes());
    REQUIRE(wait_for([&] { return server.programs().size() == 1; }));

    server.configure({});
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return !exists(server.directory() / "other"); }));
    server.configure(with_other(server));
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return other_listens(server); }));
    CHECK(other_serves(server));
    write_file(go, "");
    CHECK(busy.read_reply().body() == "late");
    // Each reload started the workers of both pools once; a quarrel would start hundreds.
    CHECK(count_of(server.log(), " started") < 20);
}

TEST_CASE("pools: one that TTIN has enlarged keeps workers in a reload of another", "[pools]")
{
    Server server({.pool = "workers = 1\n"});
    const auto workers = [&] {
        std::vector<pid_t> found;
        for (const pid_t worker : server.workers())
            if (title_of(worker).find("[www]") != std::string::npos)
                found.push_back(worker);
        return found;
    };
    REQUIRE(wait_for([&] { return workers().size() == 1; }));
    server.signal(SIGTTIN);
    REQUIRE(wait_for([&] { return workers().size() == 2; }));
    const auto before = workers();
    Setup setup = with_other(server);
    setup.pool = "workers = 1\n";
    server.configure(setup);
    server.signal(SIGHUP);
    CHECK(server.wait_log("[www] has not changed"));
    REQUIRE(wait_for([&] { return workers().size() == 1; }));
    CHECK(std::count(before.begin(), before.end(), workers()[0]) == 1);
    CHECK(server.serves());
}

TEST_CASE("pools: a reload replaces the workers of the pool that has changed only", "[pools]")
{
    const TempDir directory;
    const auto other = [&](const std::string& more) {
        return "[other]\nhandler = cgi\nscript = " + (directory / "act") +
               "\nbind = unix:" + (directory / "other") + "\nworkers = 1\n" + user_line() + more;
    };
    write_file(directory / "act", read_file(build_file("tests/data/cgi/act")), 0755);
    Server server({.pool = "workers = 1\n", .more = other("")});
    const auto worker_of = [&](const std::string& address) {
        return entry(ask(address, server.get("act", "plain&process")).body(), "ppid");
    };
    const std::string second = "unix:" + (directory / "other");
    const std::string first_worker = worker_of(server.address());
    const std::string second_worker = worker_of(second);

    server.configure({.pool = "workers = 1\n", .more = other("env.COLOUR = green\n")});
    server.signal(SIGHUP);
    CHECK(server.wait_log("[www] has not changed"));
    CHECK(wait_for([&] { return worker_of(second) != second_worker; }));
    CHECK(worker_of(server.address()) == first_worker);
    // And with nothing changed at all, fresh workers for everybody.
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return worker_of(server.address()) != first_worker; }));
    CHECK(server.serves());
}

TEST_CASE("pools: of many pools a reload removes one and leaves the others alone", "[pools]")
{
    const TempDir directory;
    give_to_pool(directory.path());
    write_file(directory / "act", read_file(build_file("tests/data/cgi/act")), 0755);
    const auto pools = [&](int count) {
        std::string text;
        for (int i = 0; i < count; ++i)
            text += "[p" + std::to_string(i) +
                    "]\nscaling = ondemand\nscript = " + (directory / "act") +
                    "\nbind = unix:" + (directory / "$pool") + "\n" + user_line();
        return text;
    };
    const auto socket = [&](int i) { return directory / ("p" + std::to_string(i)); };
    Server server({.more = pools(129)});
    const auto serves = [&](int i) { return server.serves_at("unix:" + socket(i)); };
    for (const int i : {0, 64, 127, 128})
        CHECK(serves(i));
    server.configure({.more = pools(128)});
    server.signal(SIGHUP);
    CHECK(server.wait_log("[p128] is no pool any more"));
    CHECK(wait_for([&] { return !exists(socket(128)); }));
    for (const int i : {0, 64, 127})
        CHECK(serves(i));
    server.signal(SIGUSR2);
    REQUIRE(server.wait_log("ready, beside the old server"));
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    for (const int i : {0, 64, 127})
        CHECK(serves(i));
    for (const pid_t fresh : adopted())
        ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }));
    CHECK_FALSE(exists(socket(0)));
}
