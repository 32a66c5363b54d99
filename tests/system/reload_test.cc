// reload_test.cc - HUP reads the configuration anew and loses nothing; a bad one changes nothing.
// Source   gunicorn HUP; unicorn t/reload-bad-config.t.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/control.h"
#include "tests/system/support/notify_socket.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <list>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

namespace {

bool accepts(const std::string& address)
{
    const int fd = try_connect(address);
    if (fd >= 0)
        ::close(fd);
    return fd >= 0;
}

// All workers are other ones, as many as before.
bool wait_replaced(const Server& server, const std::vector<pid_t>& old)
{
    return wait_for([&] {
        const auto workers = server.workers();
        return workers.size() == old.size() &&
               std::none_of(workers.begin(), workers.end(), [&](pid_t pid) {
                   return std::find(old.begin(), old.end(), pid) != old.end();
               });
    });
}

}  // namespace

TEST_CASE("reload: HUP replaces the workers and keeps arbiter and socket", "[reload]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    server.signal(SIGHUP);
    CHECK(wait_replaced(server, old));
    CHECK(server.process().running());
    CHECK(server.serves());
}

TEST_CASE("reload: HUP takes new settings", "[reload]")
{
    Server server;
    CHECK(entry(server.act("plain&env").body(), "COLOUR") == "(absent)");
    server.configure({.pool = "env.COLOUR = green\nworkers = 3\n"});
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return entry(server.act("plain&env").body(), "COLOUR") == "green"; }));
    CHECK(server.wait_workers(3));
}

TEST_CASE("reload: a request that runs over HUP is finished by its old worker", "[reload]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=finished").bytes());
    REQUIRE(client.wait_for_output("begun"));
    server.signal(SIGHUP);
    // The new ones are there, and one old one that still works.
    CHECK(wait_for([&] {
        const auto workers = server.workers();
        return std::count_if(workers.begin(), workers.end(), [&](pid_t pid) {
                   return std::find(old.begin(), old.end(), pid) == old.end();
               }) == 2;
    }));
    write_file(go, "");
    CHECK(client.wait_for_output("finished"));
    CHECK(wait_replaced(server, old));
}

TEST_CASE("reload: a shorter timeout does not end a worker that knows only the longer one",
          "[reload]")
{
    const TempDir directory;
    const std::string go = directory / "go";
    Server server({.pool = "workers = 1\ntimeout = 60s\n"});
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(client.wait_for_output("begun"));
    const std::string worker = "worker " + std::to_string(server.worker());
    server.configure({.pool = "workers = 1\ntimeout = 500ms\n"});
    server.signal(SIGHUP);
    REQUIRE(server.wait_log("configuration reloaded"));
    pause_for(Milliseconds{2500});  // the timeout, and two turns of the arbiter
    write_file(go, "");
    CHECK(client.wait_for_output("done"));
    CHECK(server.log().find(worker + " was silent") == std::string::npos);
}

TEST_CASE("reload: a bad configuration is logged with its line and the old server goes on",
          "[reload]")
{
    Server server({.pool = "env.COLOUR = green\n"});
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    const std::string text = server.configuration_text({.pool = "wrokers = 7\n"});
    write_file(server.configuration(), text);
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<long>(text.find("wrokers")), '\n');
    server.signal(SIGHUP);
    CHECK(server.wait_log(server.configuration() + ":" + std::to_string(line) + ": wrokers"));
    CHECK(server.serves());
    CHECK(server.workers() == old);
    CHECK(entry(server.act("plain&env").body(), "COLOUR") == "green");
}

TEST_CASE("reload: after a bad configuration a good one is taken", "[reload]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    write_file(server.configuration(), "nonsense\n");
    server.signal(SIGHUP);
    REQUIRE(server.wait_log(server.configuration() + ":1"));
    server.configure({.pool = "workers = 4\n"});
    server.signal(SIGHUP);
    CHECK(server.wait_workers(4));
    CHECK(server.serves());
}

TEST_CASE("reload: a missing configuration changes nothing", "[reload]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    ::unlink(server.configuration().c_str());
    server.signal(SIGHUP);
    CHECK(server.wait_log(server.configuration()));
    CHECK(server.serves());
    CHECK(server.workers() == old);
}

TEST_CASE("reload: a bind that is new is opened and one that is gone is closed", "[reload]")
{
    Server server;
    const std::string second = "unix:" + server.directory() / "second";
    server.configure({.pool = "bind = " + server.address() + " " + second + "\n"});
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return accepts(second); }));
    CHECK(ask(second, server.get("act", "text=second")).body() == "second");
    CHECK(server.serves());
    server.configure({});
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return !accepts(second); }));
    CHECK(wait_for([&] { return !exists(server.directory() / "second"); }));
    CHECK(server.serves());
}

TEST_CASE("reload: a bind that cannot be opened keeps the old server", "[reload]")
{
    const Server other;
    Server server;
    REQUIRE(server.wait_workers(2));
    server.configure({.pool = "bind = " + other.address() + "\n"});
    server.signal(SIGHUP);
    CHECK(server.wait_log(other.socket()));
    CHECK(server.serves());
    CHECK(other.serves());
}

TEST_CASE("reload: pools are added and removed", "[reload]")
{
    Server server;
    const std::string second = "unix:" + server.directory() / "second";
    const std::string section = "[second]\nhandler = cgi\nroot = " + server.root() +
                                "\nbind = " + second + "\nworkers = 1\n" + user_line();
    server.configure({.more = section});
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return accepts(second); }));
    CHECK(ask(second, server.get("act", "text=second")).body() == "second");
    CHECK(server.wait_workers(3));
    server.configure({});
    server.signal(SIGHUP);
    CHECK(server.wait_workers(2));
    CHECK(wait_for([&] { return !exists(server.directory() / "second"); }));
    CHECK(server.serves());
}

TEST_CASE("reload: connections that wait at an address that is given up are answered", "[reload]")
{
    const bool tcp = GENERATE(false, true);
    const bool pool_goes = GENERATE(false, true);
    INFO((tcp ? "TCP" : "Unix") << (pool_goes ? ", with its pool" : ""));
    Server server;
    const std::string section =
        "[second]\nworkers = 1\nroot = " + server.root() + "\n" + user_line();
    const auto serves_at = [&](const std::string& address) {
        return accepts(address) && server.serves_at(address);
    };
    const std::string old = tcp ? free_address() : "unix:" + server.directory() / "old";
    server.configure({.more = section + "bind = " + old + "\n"});
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] { return serves_at(old); }));
    const std::string go = server.directory() / "go";
    std::list<FastcgiClient> clients;
    for (int i = 0; i < 6; ++i) {
        clients.emplace_back(old);
        clients.back().send(
            server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    }
    REQUIRE(clients.front().wait_for_output("begun"));
    const std::string next = "unix:" + server.directory() / "next";
    server.configure({.more = pool_goes ? "" : section + "bind = " + next + "\n"});
    server.signal(SIGHUP);
    if (pool_goes)
        REQUIRE(server.wait_log("[second] is no pool any more"));
    else
        REQUIRE(wait_for([&] { return serves_at(next); }));
    write_file(go, "");
    for (FastcgiClient& client : clients)
        CHECK(client.wait_for_output("done"));
    CHECK(wait_for([&] { return !accepts(old); }));
}

TEST_CASE("reload: a pool that is renamed serves under its old name until the new one does",
          "[reload]")
{
    const bool full = GENERATE(false, true);
    CAPTURE(full);
    const std::string global = with_control + (full ? "max_processes = 2\n" : "");
    Server server({.global = global});
    const auto renamed = [&](const std::string& settings) {
        std::string text = server.configuration_text({.pool = settings, .global = global});
        text.replace(text.find("[www]"), 5, "[web]");
        write_file(server.configuration(), text);
        return ctl(server, {"reload"}, Milliseconds{30'000}).status;
    };
    const auto old = server.workers();
    CHECK(renamed("handler = module\nmodule = " + public_file("tests/modules/init_fails.so") +
                  "\n") == ExitStatus{1, 0});
    const bool serves = server.serves();
    INFO(server.log());
    CHECK(serves);
    CHECK(renamed("env.COLOUR = green\n") == ExitStatus{0, 0});
    CHECK(wait_replaced(server, old));
    CHECK(entry(server.act("plain&env").body(), "COLOUR") == "green");
    CHECK(server.log().find("[www] gets no more workers") == std::string::npos);
}

TEST_CASE("reload: an address that this server is in the way of is refused and the error says so",
          "[reload]")
{
    const std::string address = free_address();
    Server server({.pool = "bind = " + address + "\n", .global = with_control, .wait = false});
    REQUIRE(server.wait_log("info: ready"));
    server.configure(
        {.pool = "bind = *" + address.substr(address.rfind(':')) + "\n", .global = with_control});
    const Finished reload = ctl(server, {"reload"});
    CHECK(reload.status == ExitStatus{1, 0});
    CHECK(reload.err.find(": this server listens on " + address + ", and has") !=
          std::string::npos);
    CHECK(server.serves_at(address));
}

TEST_CASE("reload: a pool without workers that is renamed leaves no socket behind", "[reload]")
{
    const TempDir place;
    const std::string kept = place / "kept";
    const std::string given_up = place / "given-up";
    const Setup setup{.pool = "scaling = ondemand\nbind = unix:" + kept +
                              "\nbind = unix:" + given_up + "\n",
                      .global = with_control,
                      .wait = false};
    Server server(setup);
    REQUIRE(server.wait_log("info: ready"));
    REQUIRE(server.workers().empty());
    std::string text =
        server.configuration_text({.pool = "bind = unix:" + kept + "\n", .global = with_control});
    text.replace(text.find("[www]"), 5, "[web]");
    write_file(server.configuration(), text);
    CHECK(ctl(server, {"reload"}).status == ExitStatus{0, 0});
    CHECK(wait_for([&] { return !exists(given_up); }));
    CHECK(server.serves_at("unix:" + kept));
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    CHECK_FALSE(exists(kept));
}

TEST_CASE("reload: an address that was given up can be had back while its workers finish",
          "[reload]")
{
    const bool tcp = GENERATE(false, true);
    const bool boots = GENERATE(false, true);
    INFO((tcp ? "TCP" : "Unix") << (boots ? ", booting" : ", not booting"));
    Server server({.global = with_control});
    const std::string old = tcp ? free_address() : "unix:" + server.directory() / "old";
    const std::string next = tcp ? free_address() : "unix:" + server.directory() / "next";
    const auto reload = [&](const std::string& pool) {
        server.configure({.pool = "graceful_timeout = 1m\n" + pool, .global = with_control});
        return ctl(server, {"reload"}, Milliseconds{30'000}).status;
    };
    REQUIRE(reload("bind = " + old + "\n") == ExitStatus{0, 0});
    const std::string go = server.directory() / "go";
    FastcgiClient client(old);
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(client.wait_for_output("begun"));
    const std::string broken =
        "handler = module\nmodule = " + public_file("tests/modules/init_fails.so") + "\n";
    CHECK((reload("bind = " + next + "\n" + (boots ? "" : broken)) == ExitStatus{0, 0}) == boots);
    if (!boots)
        CHECK(server.serves_at(old));  // until others serve
    CHECK(reload("bind = " + old + "\n") == ExitStatus{0, 0});
    CHECK(server.serves_at(old));
    CHECK(wait_for([&] { return tcp || !exists(server.directory() / "next"); }));
    write_file(go, "");
    CHECK(client.wait_for_output("done"));
    server.configure({.global = with_control});
    CHECK(ctl(server, {"reload"}).status == ExitStatus{0, 0});
    CHECK(wait_for([&] { return !accepts(old) && !exists(server.directory() / "old"); }));
}

TEST_CASE("reload: workers that do not boot do not drive out the old ones when there is no room",
          "[reload]")
{
    const SlowModule slow;
    const std::string global = with_control + "max_processes = 2\n";
    Server server({.pool = "workers = 2\n", .global = global, .environment = slow.environment()});
    server.configure({.pool = "workers = 2\nhandler = module\nmodule = " +
                              public_file("tests/modules/init_fails.so") + "\n",
                      .global = global});
    CHECK(ctl(server, {"reload"}, Milliseconds{30'000}).status == ExitStatus{1, 0});
    CHECK(server.serves());
    CHECK(count_of(server.log(), " started") < 20);
    // One that boots slowly has its time.
    server.configure({.pool = slow.pool() + "workers = 2\n", .global = global});
    server.signal(SIGHUP);
    pause_for(Milliseconds{1'500});
    CHECK(count_of(server.log(), " started") < 30);
    CHECK(server.serves());
    slow.release();
    CHECK(wait_for([&] { return server.ask(server.get("act")).body() == "at last"; }));
}

TEST_CASE("reload: the service manager is told that a reload is over also when workers do not boot",
          "[reload]")
{
    if (!knows_service_manager)
        SKIP_TEST("built without libsystemd");
    NotifySocket manager;
    Server server({.environment = {{"NOTIFY_SOCKET", manager.path()}}});
    REQUIRE(manager.wait("READY=1"));
    manager.forget();
    server.configure({.pool = "handler = module\nmodule = " +
                              public_file("tests/modules/init_fails.so") + "\n"});
    server.signal(SIGHUP);
    CHECK(manager.wait("RELOADING=1"));
    CHECK(manager.wait("READY=1\nSTATUS=New workers do not boot, see the log; the old ones serve"));
}

TEST_CASE("reload: a mistake is not forgotten when the reload before it is over", "[reload]")
{
    const SlowModule slow;
    Server server({.global = with_control, .environment = slow.environment()});
    server.configure({.pool = slow.pool(), .global = with_control});
    server.signal(SIGHUP);
    REQUIRE(server.wait_log("configuration reloaded"));
    server.configure({.pool = "nonsense\n", .global = with_control});
    CHECK(ctl(server, {"reload"}).status == ExitStatus{1, 0});
    slow.release();
    CHECK(wait_for([&] { return server.ask(server.get("act")).body() == "at last"; }));
    CHECK(wait_for([&] {
        const std::string status = ctl(server, {"status"}).out;
        return status.find("reloads: 1") != status.npos && status.find("nonsense") != status.npos;
    }));
}

TEST_CASE("reload: an idle kept connection is closed cleanly or still good", "[reload]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    Request request = server.get("act", "text=kept");
    request.keep = true;
    FastcgiClient client(server.address());
    client.send(request.bytes());
    REQUIRE(client.read_reply().body() == "kept");
    server.signal(SIGHUP);
    REQUIRE(wait_replaced(server, old));
    client.send(request.bytes());
    const Reply again = client.read_reply();
    CHECK(again.end != End::deadline);
    if (again.end == End::ended)
        CHECK(again.body() == "kept");
}

TEST_CASE("reload: many HUPs at once end in one whole server", "[reload]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    for (int i = 0; i < 10; ++i) {
        server.signal(SIGHUP);
        pause_for(Milliseconds{10});
    }
    CHECK(wait_replaced(server, old));
    CHECK(server.serves());
    CHECK(server.wait_workers(2));
}

TEST_CASE("reload: a socket file that somebody removed is there again", "[reload]")
{
    const Server server;
    REQUIRE(server.serves());
    REQUIRE(::unlink(server.socket().c_str()) == 0);
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return accepts(server.address()) && server.serves(); }));
}

TEST_CASE("reload: daemon does not change and the log stays where it is", "[reload]")
{
    const Server server;
    REQUIRE(server.serves());
    write_file(server.configuration(), server.configuration_text({.global = "daemon = yes\n"}));
    server.signal(SIGHUP);
    CHECK(server.wait_log("daemon does not change by a reload"));
    CHECK(server.wait_log("configuration reloaded"));
    CHECK(server.serves());
}

TEST_CASE("reload: a reload that fails at the log keeps the pid file as well", "[reload]")
{
    const TempDir directory;
    const std::string first = directory / "first.pid";
    const std::string second = directory / "second.pid";
    Server server({.global = "pid = " + first + "\n"});
    REQUIRE(server.serves());
    server.configure({.global = "pid = " + second + "\nerror_log = " + (directory / "no/log\n")});
    server.signal(SIGHUP);
    CHECK(server.wait_log("the old one stays in use"));
    CHECK(read_file(first) == std::to_string(server.pid()) + "\n");
    CHECK_FALSE(exists(second));
}

TEST_CASE("reload: a reload that fails leaves the mode of a socket as it is", "[reload]")
{
    const TempDir directory;
    const Server server({.pool = "listen_mode = 0666\n"});
    REQUIRE(server.serves());
    const auto mode = [&] {
        struct stat status {};
        ::stat(server.socket().c_str(), &status);
        return status.st_mode & 0777;
    };
    const std::string pool = "listen_mode = 0600\n";
    write_file(server.configuration(),
               server.configuration_text({.pool = pool}) + "[other]\nscript = " +
                   build_file("tests/data/cgi/act") + "\nbind = unix:" + (directory / "no/socket") +
                   "\n" + (is_root() ? "user = " + std::string(pool_user()) + "\n" : ""));
    server.signal(SIGHUP);
    CHECK(server.wait_log("the old one stays in use"));
    CHECK(mode() == 0666);
    write_file(server.configuration(), server.configuration_text({.pool = pool}));
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return mode() == 0600; }));
}
