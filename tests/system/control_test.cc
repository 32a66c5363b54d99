// control_test.cc - tricornctl: every command, its exit status, and who may give it.
// Source   gunicornc; php-fpm's status page; tricornctl(1).
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/control.h"

#include <algorithm>
#include <csignal>
#include <string>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

constexpr ExitStatus ok{0, 0};
constexpr ExitStatus failed{1, 0};
constexpr ExitStatus unreachable{2, 0};
constexpr ExitStatus usage{64, 0};

// A request that a program holds until end() is called.
class LongRequest {
public:
    explicit LongRequest(const Server& server)
        : go_(server.directory() / "go"), client_(server.address())
    {
        client_.send(
            server.get("act", "plain&out=begun&wait=" + encode(go_) + "&out=over").bytes());
        REQUIRE(client_.wait_for_output("begun"));
    }
    bool end()
    {
        write_file(go_, "");
        return client_.wait_for_output("over");
    }
    FastcgiClient& client() { return client_; }

private:
    std::string go_;
    FastcgiClient client_;
};

bool wait_serving(const Server& server)
{
    return wait_for([&] { return status_of(server)["state"] == "serving"; });
}

// A worker has its reply out a moment before it counts the request.
bool wait_counted(const Server& server, int requests)
{
    return wait_for([&] {
        const json pool = status_of(server)["pools"][0];
        return pool["requests"] == requests && pool["busy"] == 0;
    });
}

}  // namespace

TEST_CASE("control: status tells of server and pools and workers", "[control]")
{
    Server server({.pool = "workers = 2\n", .global = with_control});
    REQUIRE(wait_serving(server));
    CHECK(server.serves());
    REQUIRE(wait_counted(server, 1));
    LongRequest request(server);

    const json status = status_of(server);
    CHECK(status["version"] == PACKAGE_VERSION);
    CHECK(status["pid"] == server.pid());
    CHECK(status["state"] == "serving");
    CHECK(status["config"] == server.configuration());
    CHECK(status["uptime"] > 0);
    REQUIRE(status["pools"].size() == 1);
    const json& pool = status["pools"][0];
    CHECK(pool["name"] == "www");
    CHECK(pool["handler"] == "cgi");
    CHECK(pool["scaling"] == "static");
    CHECK(pool["target"] == 2);
    CHECK(pool["busy"] == 1);
    CHECK(pool["idle"] == 1);
    CHECK(pool["total"] == 2);
    CHECK(pool["requests"] == 1);
    CHECK(pool["settled"] == true);
    CHECK(pool["listeners"] == json::array({server.address()}));
    REQUIRE(pool["workers"].size() == 2);
    for (const json& worker : pool["workers"]) {
        const auto workers = server.workers();
        CHECK(std::count(workers.begin(), workers.end(), worker["pid"].get<pid_t>()) == 1);
        CHECK(worker["memory"] > 100'000);
        CHECK(worker["age"] > 0);
        const bool busy = worker["state"] == "busy";
        CHECK((busy || worker["state"] == "idle"));
        CHECK((worker["elapsed"] > 0) == busy);
        CHECK(worker["request"].get<std::string>().starts_with(busy ? "GET /act?plain" : ""));
        CHECK(worker["script"] == (busy ? server.root() + "/act" : ""));
    }
    CHECK(request.end());
}

TEST_CASE("control: status tells how many connections wait for a worker", "[control]")
{
    Server server(
        {.pool = "workers = 1\nbacklog = 64\nbind = " + free_address() + "\nbind = unix:s\n",
         .global = with_control});
    REQUIRE(wait_serving(server));
    if (status_of(server)["pools"][0]["queue"] == -1)
        SKIP_TEST("the kernel does not tell");
    // That the server is up was seen by connecting to it.
    CHECK(wait_for([&] { return status_of(server)["pools"][0]["queue"] == 0; }));
    CHECK(status_of(server)["pools"][0]["queue_size"] == 2 * 64);
    LongRequest request(server);
    const FastcgiClient second(server.address());
    const FastcgiClient third(server.address());
    CHECK(status_of(server)["pools"][0]["queue"] == 2);
    CHECK_THAT(ctl(server, {"pools"}).out, Contains("QUEUE") && Contains(" 2/128 "));
    CHECK(request.end());
    CHECK(wait_for([&] { return status_of(server)["pools"][0]["queue"] == 0; }));
}

TEST_CASE("control: status and pools and workers are shown as text", "[control]")
{
    const Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    const Finished status = ctl(server, {"status"});
    CHECK(status.status == ok);
    CHECK(status.err.empty());
    CHECK_THAT(status.out, Contains("process " + std::to_string(server.pid()) + ", serving, up "));
    CHECK_THAT(status.out, Contains("configuration: " + server.configuration()));
    const Finished pools = ctl(server, {"pools"});
    CHECK_THAT(pools.out, Contains("POOL") && Contains("\nwww") && Contains(server.address()));
    const Finished workers = ctl(server, {"workers"});
    for (const pid_t pid : server.workers())
        CHECK_THAT(workers.out, Contains(std::to_string(pid)));
    CHECK_THAT(status.out, Contains(pools.out.substr(0, 20)) && Contains("REQUEST"));
}

TEST_CASE("control: status tells how workers have ended", "[control]")
{
    const Server server({.pool = "workers = 1\n", .global = with_control});
    CHECK(server.serves());
    REQUIRE(wait_counted(server, 1));
    const pid_t worker = server.worker();
    ::kill(worker, SIGKILL);
    REQUIRE(wait_for([&] { return !status_of(server)["pools"][0]["exits"].empty(); }));
    REQUIRE(server.wait_workers(1));
    const json pool = status_of(server)["pools"][0];
    CHECK(pool["exits"][0]["pid"] == worker);
    CHECK_THAT(pool["exits"][0]["how"].get<std::string>(), Contains("killed by SIGKILL"));
    CHECK(pool["exits"][0]["clean"] == false);
    CHECK_THAT(pool["exits"][0]["time"].get<std::string>(), Contains("T") && Contains("Z"));
    CHECK(pool["requests"] == 1);  // also of the worker that has ended
    CHECK_THAT(ctl(server, {"status"}).out, Contains("killed by SIGKILL"));
}

TEST_CASE("control: config shows what is in use and where it came from", "[control]")
{
    const Server server({.pool = "env.COLOUR = green\n", .global = with_control});
    write_file(server.configuration(), "[global]\n# changed and not reloaded\n");
    const Finished config = ctl(server, {"config"});
    CHECK(config.status == ok);
    CHECK_THAT(config.out, Contains("\n[www]\n"));
    CHECK_THAT(config.out, Contains("env.COLOUR = green"));
    CHECK_THAT(config.out, Contains("# " + server.configuration() + ":"));
}

TEST_CASE("control: reload returns when the new workers serve", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    const auto old = server.workers();
    server.configure({.pool = "env.COLOUR = green\n", .global = with_control});
    const Finished reload = ctl(server, {"reload"});
    CHECK(reload.status == ok);
    CHECK(reload.out == "reloaded\n");
    const json status = status_of(server);
    CHECK(status["reloads"] == 1);
    CHECK(status["reload_error"] == "");
    CHECK(status["state"] == "serving");
    CHECK(wait_for([&] { return entry(server.act("plain&env").body(), "COLOUR") == "green"; }));
    CHECK(wait_for([&] {
        const auto now = server.workers();
        return now.size() == old.size() && now != old;
    }));
}

TEST_CASE("control: a reload with a mistake fails and says which", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    server.configure({.pool = "no_such_key = 1\n", .global = with_control});
    const Finished reload = ctl(server, {"reload"});
    CHECK(reload.status == failed);
    CHECK(reload.out.empty());
    CHECK_THAT(reload.err, Contains("tricornctl: " + server.configuration() + ":"));
    CHECK_THAT(reload.err, Contains("no_such_key"));
    CHECK(server.serves());
    CHECK_THAT(status_of(server)["reload_error"].get<std::string>(), Contains("no_such_key"));
    CHECK_THAT(ctl(server, {"status"}).out, Contains("the last reload failed:\n"));

    server.configure({.global = with_control});
    CHECK(ctl(server, {"reload"}).status == ok);
    CHECK(status_of(server)["reload_error"] == "");
}

TEST_CASE("control: a reload whose workers do not boot fails and the old ones serve on",
          "[control]")
{
    Server server({.pool = "handler = module\nmodule = " + public_file("examples/module/hello.so") +
                           "\nworkers = 1\n",
                   .global = with_control});
    REQUIRE(wait_serving(server));
    server.configure({.pool = "handler = module\nmodule = " +
                              public_file("tests/modules/init_fails.so") + "\nworkers = 1\n",
                      .global = with_control});
    const Finished reload = ctl(server, {"reload"}, Milliseconds{30'000});
    CHECK(reload.status == failed);
    CHECK_THAT(reload.err, Contains("pool www: new workers do not boot"));
    CHECK_THAT(reload.err, Contains("exited with status 4"));
    CHECK(server.ask(server.get("hello")).status() == 200);
    CHECK_THAT(ctl(server, {"status"}).out, Contains(", old") && Contains("reloading"));
    CHECK(status_of(server)["reloads"] == 0);
    CHECK_THAT(status_of(server)["reload_error"].get<std::string>(),
               Contains("[www] new workers do not boot: process ") &&
                   Contains("exited with status 4"));
    // Also when they die.
    for (int i = 0; i < 3; ++i) {
        for (const json& worker : status_of(server)["pools"][0]["workers"])
            ::kill(worker["pid"], SIGKILL);
        CHECK(server.ask(server.get("hello")).status() == 200);
    }
    server.configure({.global = with_control});
    CHECK(ctl(server, {"reload"}).status == ok);
    CHECK(status_of(server)["reloads"] == 1);
    CHECK(status_of(server)["reload_error"] == "");
}

TEST_CASE("control: reload does not wait longer than it may", "[control]")
{
    const SlowModule module;
    Server server({.global = with_control, .environment = module.environment()});
    REQUIRE(wait_serving(server));
    server.configure({.pool = module.pool() + "workers = 1\n", .global = with_control});
    const Finished late = ctl(server, {"-t", "3s", "reload"});
    CHECK(late.status == failed);
    CHECK_THAT(late.err, Contains("the new workers do not serve yet after 3s"));
    CHECK(status_of(server)["state"] == "reloading");
    CHECK_THAT(ctl(server, {"workers"}).out, Contains("booting") && Contains("idle, old"));
    CHECK(server.serves());
    module.release();
    CHECK(wait_serving(server));
    CHECK(wait_for([&] { return server.ask(server.get("act")).body() == "at last"; }));
}

TEST_CASE("control: stop lets requests finish and waits for the end", "[control]")
{
    Server server({.pool = "graceful_timeout = 1m\n", .global = with_control});
    REQUIRE(wait_serving(server));
    LongRequest request(server);
    const Finished early = ctl(server, {"--timeout", "3s", "stop"});
    CHECK(early.status == failed);
    CHECK_THAT(early.err, Contains("has not ended yet after 3s"));
    CHECK(status_of(server)["state"] == "draining");
    CHECK(ctl(server, {"scale", "www", "+1"}).status == failed);
    CHECK(ctl(server, {"reload"}).status == failed);
    CHECK(request.end());
    const Finished stop = ctl(server, {"stop"});
    CHECK((stop.status == ok || stop.status == unreachable));  // it may have ended meanwhile
    CHECK(server.process().wait() == ok);
    CHECK_FALSE(exists(control_socket(server)));
}

TEST_CASE("control: stop returns when the server has ended", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    const Finished stop = ctl(server, {"stop"});
    CHECK(stop.status == ok);
    CHECK(stop.out == "stopped\n");
    CHECK_FALSE(alive(server.pid()));
    CHECK(server.process().wait() == ok);
    CHECK(ctl(server, {"status"}).status == unreachable);
}

TEST_CASE("control: quit ends requests at once", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    LongRequest request(server);
    CHECK(ctl(server, {"quit"}).status == ok);
    CHECK_FALSE(alive(server.pid()));
    CHECK_FALSE(request.client().read_reply().complete());
    CHECK(server.process().wait() == ok);
}

TEST_CASE("control: reopen opens the logs anew", "[control]")
{
    const TempDir place;
    give_to_pool(place.path());
    Server server({.pool = "access_log = " + place.path() + "/access\n", .global = with_control});
    CHECK(server.serves());
    const std::string log = place / "access";
    REQUIRE(wait_for([&] { return !read_file(log).empty(); }));
    REQUIRE(::rename(log.c_str(), (log + ".1").c_str()) == 0);
    const Finished reopen = ctl(server, {"reopen"});
    CHECK(reopen.status == ok);
    CHECK(reopen.out == "logs reopened\n");
    CHECK(wait_for([&] { return server.serves() && !read_file(log).empty(); }));
}

TEST_CASE("control: reopen fails when a log cannot be opened and the old one stays in use",
          "[control]")
{
    const TempDir place;
    REQUIRE(::mkdir((place / "logs").c_str(), 0755) == 0);
    Server server(
        {.pool = "access_log = " + place.path() + "/logs/access\n", .global = with_control});
    REQUIRE(wait_serving(server));
    REQUIRE(::rename((place / "logs").c_str(), (place / "moved").c_str()) == 0);
    const Finished reopen = ctl(server, {"reopen"});
    CHECK(reopen.status == failed);
    CHECK(reopen.err == "tricornctl: cannot reopen the access log " + place.path() +
                            "/logs/access, the old one stays in use: No such file or directory\n");
    CHECK(server.serves());
    CHECK(wait_for([&] { return !read_file(place / "moved/access").empty(); }));
}

TEST_CASE("control: scale changes the number of workers until the next reload", "[control]")
{
    Server server({.pool = "workers = 2\n", .global = with_control});
    REQUIRE(wait_serving(server));
    CHECK(ctl(server, {"scale", "www", "4"}).out == "[www] 4 workers from now on\n");
    CHECK(server.wait_workers(4));
    CHECK(ctl(server, {"scale", "www", "-3"}).out == "[www] 1 worker from now on\n");
    CHECK(server.wait_workers(1));
    CHECK_THAT(ctl(server, {"status"}).out, Contains("was retired: not needed any more"));
    CHECK(ctl(server, {"scale", "www", "+1"}).out == "[www] 2 workers from now on\n");
    CHECK(server.wait_workers(2));
    CHECK(ctl(server, {"scale", "www", "3"}).status == ok);
    CHECK(status_of(server)["pools"][0]["target"] == 3);

    const Finished none = ctl(server, {"scale", "www", "-3"});
    CHECK(none.status == failed);
    CHECK_THAT(none.err, Contains("at least 1 worker"));
    const Finished many = ctl(server, {"scale", "www", "+4096"});
    CHECK(many.status == failed);
    CHECK_THAT(many.err, Contains("at most 4096 workers"));
    const Finished unknown = ctl(server, {"scale", "nobody", "2"});
    CHECK(unknown.status == failed);
    CHECK_THAT(unknown.err, Contains("there is no pool nobody"));
    CHECK(ctl(server, {"reload"}).status == ok);
    CHECK(server.wait_workers(2));
}

TEST_CASE("control: kill ends a worker and its request and a new one takes its place", "[control]")
{
    Server server({.pool = "workers = 1\n", .global = with_control});
    REQUIRE(wait_serving(server));
    LongRequest request(server);
    const pid_t worker = server.worker();
    CHECK(ctl(server, {"kill", std::to_string(worker)}).status == ok);
    CHECK(wait_for([&] { return !alive(worker); }));
    CHECK(server.wait_workers(1));
    CHECK_THAT(ctl(server, {"status"}).out, Contains("was told to end at once"));
    CHECK_FALSE(request.client().read_reply().complete());
    CHECK(server.serves());
}

TEST_CASE("control: kill ends a worker that does not listen", "[control]")
{
    const Server server({.pool = "workers = 1\n", .global = with_control});
    REQUIRE(wait_serving(server));
    const pid_t worker = server.worker();
    ::kill(worker, SIGSTOP);
    CHECK(ctl(server, {"kill", std::to_string(worker)}).status == ok);
    CHECK(wait_for([&] { return !alive(worker); }));
    CHECK(server.wait_workers(1));
}

TEST_CASE("control: kill does not touch a process that is no worker", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    Command sleep;
    sleep.arguments = {"sleep", "1000"};
    Process stranger(sleep);
    for (const pid_t pid : {stranger.pid(), server.pid(), ::getpid(), pid_t{1}}) {
        const Finished finished = ctl(server, {"kill", std::to_string(pid)});
        CHECK(finished.status == failed);
        CHECK_THAT(finished.err,
                   Contains("process " + std::to_string(pid) + " is no worker of this server"));
    }
    CHECK(stranger.running());
    CHECK(server.serves());
}

TEST_CASE("control: wrong usage is told from a server that does not run", "[control]")
{
    const TempDir directory;
    const std::string nowhere = directory / "c";
    const std::vector<std::vector<std::string>> wrong = {{},
                                                         {"dance"},
                                                         {"scale", "www"},
                                                         {"scale", "www", "many"},
                                                         {"scale", "www", "0"},
                                                         {"kill"},
                                                         {"kill", "me"},
                                                         {"status", "--frobnicate"},
                                                         {"stop\nquit"},
                                                         {"-t", "soon", "stop"},
                                                         {"scale", std::string(300, 'x'), "1"}};
    for (auto arguments : wrong) {
        arguments.insert(arguments.begin(), {"-s", nowhere});
        const Finished finished = tricornctl(arguments);
        INFO(finished.err);
        CHECK(finished.status == usage);
        CHECK_THAT(finished.err, Contains("tricornctl: "));
        CHECK(finished.out.empty());
    }
    const Finished missing = tricornctl({"-s", nowhere, "status"});
    CHECK(missing.status == unreachable);
    CHECK_THAT(missing.err, Contains("no server is controlled at " + nowhere));
    CHECK(tricornctl({"--version"}).out == "tricornctl " PACKAGE_VERSION "\n");
    CHECK_THAT(tricornctl({"--help"}).out, Contains("scale POOL N"));
}

TEST_CASE("control: the configuration names the socket", "[control]")
{
    const Server server({.global = with_control});
    const Finished finished = tricornctl({"-c", server.configuration(), "pools"});
    CHECK(finished.status == ok);
    CHECK_THAT(finished.out, Contains("www"));
    const std::string off = server.directory() / "off.conf";
    write_file(off, "[global]\ncontrol =\n");
    const Finished none = tricornctl({"-c", off, "pools"});
    CHECK(none.status == unreachable);
    CHECK_THAT(none.err, Contains("switches the control socket off"));
    const Finished missing = tricornctl({"-c", off + "x", "pools"});
    CHECK(missing.status == unreachable);
    CHECK_THAT(missing.err, Contains(off + "x"));
}

TEST_CASE("control: the shell completes commands and pools and workers", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    // What is offered behind these words.
    const auto offered = [&](const std::string& words, const std::string& begun) {
        static const std::string script = "set -u; source \"$1\"; COMP_WORDS=($2 \"$3\"); "
                                          "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tricornctl; "
                                          "echo \"${COMPREPLY[*]}\"";
        Command shell;
        shell.arguments = {"bash",
                           "-c",
                           script,
                           "bash",
                           source_file("packaging/bash-completion/tricornctl"),
                           binary() + "ctl " + words,
                           begun};
        const Finished finished = run(shell);
        CHECK(finished.err.empty());
        return finished.out;
    };
    const std::string at = "-t 5s -s " + control_socket(server) + " ";
    CHECK(offered("", "st") == "status stop\n");
    CHECK(offered("", "--j") == "--json\n");
    CHECK(offered("--json", "rel") == "reload\n");
    CHECK(offered(at + "scale", "") == "www\n");
    CHECK(offered(at + "scale", "x") == "\n");
    CHECK(offered(at + "scale www", "") == "\n");
    const std::string workers = offered(at + "kill", "");
    for (const pid_t pid : server.workers())
        CHECK_THAT(workers, Contains(std::to_string(pid)));
    CHECK(offered("status", "") == "\n");
}

TEST_CASE("control: upgrade starts a server that takes the socket over", "[control]")
{
    const TempDir place;
    const std::string pid_file = place / "pid";
    Server server({.global = with_control + "pid = " + pid_file + "\n"});
    REQUIRE(wait_serving(server));
    const Finished upgrade = ctl(server, {"upgrade"});
    CHECK(upgrade.status == ok);
    const pid_t fresh = pid_in(pid_file + ".2");
    CHECK(upgrade.out == "the new server is process " + std::to_string(fresh) + ", it is ready\n");
    CHECK(children_of(fresh).size() == 2);
    const json status = status_of(server);
    CHECK(status["pid"] == server.pid());
    CHECK(status["successor"] == fresh);
    CHECK(status["successor_ready"] == true);
    const Finished second = ctl(server, {"upgrade"});
    CHECK(second.status == failed);
    CHECK_THAT(second.err, Contains("process " + std::to_string(fresh)));

    const Finished stop = ctl(server, {"stop"});
    CHECK(stop.status == ok);
    CHECK(stop.out == "stopped, the new server, process " + std::to_string(fresh) + ", goes on\n");
    CHECK(status_of(server)["pid"] == fresh);
    CHECK(server.process().wait() == ok);
    CHECK(status_of(server)["successor"] == 0);
    CHECK(server.serves());
    CHECK(ctl(server, {"stop"}).status == ok);
    CHECK_FALSE(exists(control_socket(server)));
}

TEST_CASE("control: stop does not wait for a new server that has no socket", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    server.configure({.global = "control =\n"});
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const Finished stop = ctl(server, {"stop"});
    CHECK(stop.status == ok);
    CHECK_THAT(stop.out, Contains("does not answer at this socket"));
    CHECK(server.process().wait() == ok);
    CHECK(server.serves());
    for (const pid_t fresh : adopted())
        ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }));
}

TEST_CASE("control: stop fails when the new server ends before it has taken over", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    FastcgiClient client(server.address());
    const std::string go = server.directory() / "go";
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go)).bytes());
    REQUIRE(client.wait_for_output("begun"));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const auto fresh = status_of(server)["successor"].get<pid_t>();
    std::thread end([&] {
        server.wait_log("leaving it to the new server");
        ::kill(fresh, SIGKILL);
    });
    const Finished stop = ctl(server, {"stop"});
    end.join();
    CHECK(stop.status == failed);
    CHECK_THAT(stop.err, Contains("has ended, and this one stops"));
    write_file(go, "");
    CHECK(server.process().wait() == ok);
}

TEST_CASE("control: a new server that is taken back leaves the socket alone", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const std::string out = ctl(server, {"upgrade"}).err;
    const pid_t fresh = std::stoi(out.substr(out.find("process ") + 8));
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([&] { return !alive(fresh); }));
    CHECK(status_of(server)["pid"] == server.pid());
    CHECK(server.serves());
}

TEST_CASE("control: an upgrade whose new server cannot start fails", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    write_file(server.configuration(), "nonsense\n");
    const Finished upgrade = ctl(server, {"upgrade"});
    CHECK(upgrade.status == failed);
    CHECK(upgrade.out.empty());
    CHECK_THAT(upgrade.err,
               Contains("tricornctl: the new server has ended: process ") &&
                   Contains(" exited with status 78: wrong configuration, see the log\n"));
    CHECK(server.serves());
    CHECK_THAT(ctl(server, {"status"}).out, Contains("the last upgrade: the new server has ended"));
    const Finished rollback = ctl(server, {"rollback"});
    CHECK(rollback.status == failed);
    CHECK_THAT(rollback.err, Contains("there is no new server"));
    CHECK(ctl(server, {"stop"}).status == ok);
}

TEST_CASE("control: rollback takes an upgrade back whether the new server is ready or not",
          "[control]")
{
    const SlowModule module;
    const TempDir place;
    const std::string global = with_control + "pid = " + place.path() + "/pid\n";
    Server server({.global = global, .environment = module.environment()});
    REQUIRE(wait_serving(server));
    const bool ready = GENERATE(false, true);
    // A worker that still boots is told to end, and then made to.
    if (!ready)
        server.configure(
            {.pool = module.pool() + "workers = 1\ngraceful_timeout = 1s\n", .global = global});
    CHECK((ctl(server, {"-t", ready ? "1m" : "3s", "upgrade"}).status == ok) == ready);
    const Finished again = ctl(server, {"upgrade"});
    CHECK(again.status == failed);
    CHECK_THAT(again.err, Contains(ready ? "completes the upgrade" : "is not ready yet: wait"));
    const pid_t fresh = status_of(server)["successor"].get<pid_t>();
    const Finished rollback = ctl(server, {"rollback"});
    CHECK(rollback.status == ok);
    CHECK(rollback.out == "the upgrade is taken back\n");
    CHECK_FALSE(alive(fresh));
    CHECK(server.serves());
    CHECK(pid_in(place / "pid") == server.pid());
    CHECK_FALSE(exists(place / "pid.2"));
}

TEST_CASE("control: rollback does not wait for new workers that do not boot", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const auto fresh = status_of(server)["successor"].get<pid_t>();
    server.configure(
        {.pool = "handler = module\nmodule = " + public_file("tests/modules/init_fails.so") + "\n",
         .global = with_control});
    REQUIRE(ctl(server, {"reload"}).status == failed);
    CHECK(ctl(server, {"rollback"}).status == ok);
    CHECK_FALSE(alive(fresh));
    CHECK(server.serves());
}

TEST_CASE("control: a rollback that still waits is forgotten by a stop", "[control]")
{
    const bool by_signal = GENERATE(false, true);
    CAPTURE(by_signal);
    const SlowModule module;
    module.release();
    Server server({.pool = module.pool() + "workers = 1\n",
                   .global = with_control,
                   .environment = module.environment()});
    REQUIRE(wait_serving(server));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const auto fresh = status_of(server)["successor"].get<pid_t>();
    server.signal(SIGWINCH);
    REQUIRE(wait_for([&] { return status_of(server)["pools"][0]["total"] == 0; }));
    REQUIRE(::unlink(module.go.c_str()) == 0);
    REQUIRE(ctl(server, {"-t", "3s", "rollback"}).status == failed);
    if (by_signal)
        server.signal(SIGTERM);
    else
        CHECK(ctl(server, {"quit"}).status == ok);
    module.release();
    CHECK(server.process().wait() == ok);
    CHECK(alive(fresh));
    CHECK(server.ask(server.get("act")).body() == "at last");
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }));
}

TEST_CASE("control: stop fails when the new server ends with this one", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go)).bytes());
    REQUIRE(client.wait_for_output("begun"));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const auto fresh = status_of(server)["successor"].get<pid_t>();
    Command command;
    command.arguments = {binary() + "ctl", "-s", server.directory() / "c", "stop"};
    Process stop(command);
    REQUIRE(server.wait_log("leaving it to the new server"));
    REQUIRE(wait_for([&] { return status_of(server)["state"] == "draining"; }));
    ::kill(fresh, SIGSTOP);  // it must not take the socket over
    ::kill(server.pid(), SIGKILL);
    ::kill(fresh, SIGKILL);
    CHECK(stop.wait() == failed);
    ::unlink(server.socket().c_str());
}

TEST_CASE("control: a new server that is killed leaves no pid file", "[control]")
{
    const TempDir place;
    Server server({.global = with_control + "pid = " + place.path() + "/pid\n"});
    REQUIRE(wait_serving(server));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    const auto fresh = status_of(server)["successor"].get<pid_t>();
    CHECK(pid_in(place / "pid.2") == fresh);
    ::kill(fresh, SIGKILL);
    CHECK(wait_for([&] { return status_of(server)["successor"] == 0; }));
    CHECK_THAT(status_of(server)["successor_end"].get<std::string>(), Contains("SIGKILL"));
    CHECK_FALSE(exists(place / "pid.2"));
    CHECK(server.serves());
}

TEST_CASE("control: a new server that is a shell script gets signals", "[control]")
{
    const TempDir place;
    const std::string script = place / "tricorn";
    write_file(script, "#!/bin/sh\nexec sleep 600\n", 0755);
    const Server configured({.global = with_control});
    Command command;
    command.arguments = {place / "server",
                         "-c",
                         configured.configuration(),
                         "-b",
                         "unix:" + (place / "s"),
                         "--set",
                         "control=" + (place / "c")};
    REQUIRE(::symlink(binary().c_str(), command.arguments[0].c_str()) == 0);
    Process process(command);
    REQUIRE(wait_for([&] { return exists(place / "c") && exists(place / "s"); }));
    REQUIRE(::unlink(command.arguments[0].c_str()) == 0);
    REQUIRE(::symlink(script.c_str(), command.arguments[0].c_str()) == 0);
    CHECK(tricornctl({"-s", place / "c", "-t", "3s", "upgrade"}).status == failed);
    CHECK(tricornctl({"-s", place / "c", "rollback"}).status == ok);
    process.signal(SIGTERM);
    CHECK(process.wait() == ok);
}

TEST_CASE("control: while on_stop runs the state says so and nothing new is begun", "[control]")
{
    const TempDir place;
    Server server({.global = with_control + "on_stop = while ! [ -e " + place.path() +
                             "/go ]; do sleep 0.1; done\n"});
    REQUIRE(wait_serving(server));
    server.signal(SIGTERM);
    CHECK(wait_for([&] { return status_of(server)["state"] == "on_stop"; }));
    CHECK(server.serves());
    for (const std::string command : {"reload", "upgrade"})
        CHECK(ctl(server, {command}).err == "tricornctl: the server is stopping\n");
    CHECK(ctl(server, {"scale", "www", "+1"}).status == failed);
    write_file(place / "go", "");
    CHECK(server.process().wait() == ok);
}

TEST_CASE("control: status tells what keeps workers from serving", "[control]")
{
    const TempDir place;
    const std::string path = place / "pid";
    Server server({.pool = "workers = 1\n", .global = with_control});
    REQUIRE(wait_serving(server));
    const pid_t worker = server.worker();
    ::kill(worker, SIGSTOP);
    CHECK(wait_for(
        [&] { return ctl(server, {"workers"}).out.find("stopped") != std::string::npos; }));
    ::kill(worker, SIGCONT);
    CHECK(wait_for(
        [&] { return ctl(server, {"workers"}).out.find("stopped") == std::string::npos; }));
    REQUIRE(ctl(server, {"upgrade"}).status == ok);
    server.signal(SIGWINCH);
    CHECK(wait_for([&] { return status_of(server)["pools"][0]["total"] == 0; }));
    CHECK_THAT(ctl(server, {"status"}).out, Contains("SIGWINCH has retired all workers"));
    CHECK(ctl(server, {"rollback"}).status == ok);
    CHECK(server.wait_workers(1));
    CHECK(server.serves());
}

TEST_CASE("control: stop is refused while the new server is not ready", "[control]")
{
    const SlowModule module;
    Server server({.global = with_control, .environment = module.environment()});
    REQUIRE(wait_serving(server));
    server.configure({.pool = module.pool() + "workers = 1\n", .global = with_control});
    const Finished late = ctl(server, {"-t", "3s", "upgrade"});
    CHECK(late.status == failed);
    CHECK_THAT(late.err, Contains("is not ready yet after 3s"));
    const pid_t fresh = status_of(server)["successor"].get<pid_t>();
    CHECK(status_of(server)["successor_ready"] == false);
    const std::string process = "process " + std::to_string(fresh);
    CHECK_THAT(ctl(server, {"status"}).out,
               Contains("upgrade: the new server is " + process + ", it is not ready yet\n"));
    const Finished refused = ctl(server, {"stop"});
    CHECK(refused.status == failed);
    CHECK_THAT(refused.err, Contains("the new server, " + process + ", is not ready yet: wait"));
    CHECK(status_of(server)["state"] == "serving");
    CHECK(server.serves());

    SECTION("it is not when that one is")
    {
        module.release();
        CHECK(server.wait_log("the new server, " + process + ", is ready"));
        CHECK(ctl(server, {"stop"}).status == ok);
    }
    SECTION("quit does not wait")
    {
        CHECK(ctl(server, {"quit"}).status == ok);
        module.release();
    }
    CHECK(server.process().wait() == ok);
    CHECK(wait_for([&] { return server.ask(server.get("act")).body() == "at last"; }));
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }));
}

TEST_CASE("control: upgrade waits until the new server is ready", "[control]")
{
    const SlowModule module;
    Server server({.global = with_control, .environment = module.environment()});
    REQUIRE(wait_serving(server));
    server.configure({.pool = module.pool() + "workers = 1\n", .global = with_control});
    std::thread release([&] {
        server.wait_log("the new server is process ");
        pause_for(Milliseconds{300});
        module.release();
    });
    const Finished upgrade = ctl(server, {"upgrade"});
    release.join();
    CHECK(upgrade.status == ok);
    CHECK_THAT(upgrade.out, Contains(", it is ready\n"));
    CHECK(server.wait_log("ready, beside the old server"));
    CHECK(ctl(server, {"stop"}).status == ok);
    CHECK(wait_for([&] { return ctl(server, {"stop"}).status == ok; }));
    CHECK(wait_for([] { return adopted().empty(); }));
}

TEST_CASE("control: other users than root and the server's are refused", "[control]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    Server server({.global = with_control});
    const std::string socket = control_socket(server);
    struct stat status {};
    REQUIRE(::stat(socket.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    const Finished closed = tricornctl({"-s", socket, "stop"}, pool_user());
    CHECK(closed.status == unreachable);
    CHECK_THAT(closed.err, Contains("only root"));
    // Even where the mode lets them in.
    REQUIRE(::chmod(socket.c_str(), 0666) == 0);
    const Finished open = tricornctl({"-s", socket, "stop"}, pool_user());
    CHECK(open.status == failed);
    CHECK_THAT(open.err, Contains("only root and the user that the server runs as"));
    CHECK(server.serves());
    CHECK(server.wait_log("refused to user "));
    CHECK(ctl(server, {"status"}).status == ok);
}

TEST_CASE("control: a server that is already there keeps its socket", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    Server second({.global = "control = " + control_socket(server) + "\n", .wait = false});
    CHECK(second.process().wait() == ExitStatus{1, 0});
    CHECK_THAT(second.log(), Contains("control: another server is listening on "));
    CHECK(ctl(server, {"status"}).status == ok);
}

TEST_CASE("control: a socket that a killed server has left is replaced", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    server.signal(SIGKILL);
    REQUIRE(server.process().wait());
    CHECK(exists(control_socket(server)));
    CHECK(ctl(server, {"status"}).status == unreachable);
    REQUIRE(wait_for([] {
        kill_adopted();
        return adopted().empty();
    }));
    server.start();
    CHECK(ctl(server, {"status"}).status == ok);
}

TEST_CASE("control: a socket that cannot be made is an error only when it was asked for",
          "[control]")
{
    Server server({.global = "control = none/c\n", .wait = false});
    CHECK(server.process().wait() == ExitStatus{1, 0});
    CHECK_THAT(server.log(), Contains("control: cannot make the socket"));
    CHECK_FALSE(exists(server.socket()));
    server.configure({.global = "control = auto\nlog_level = debug\n"});
    server.start();
    CHECK(server.serves());
    const std::string log = server.log();
    CHECK((log.find("no control socket: ") != std::string::npos ||
           log.find("controlled at ") != std::string::npos));
}

TEST_CASE("control: a file that is no socket stays", "[control]")
{
    const TempDir directory;
    const std::string path = directory / "precious";
    write_file(path, "data");
    Server server({.global = "control = " + path + "\n", .wait = false});
    CHECK(server.process().wait() == ExitStatus{1, 0});
    CHECK(read_file(path) == "data");
}

TEST_CASE("control: HUP moves the socket and switches it off and on", "[control]")
{
    Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    const std::string first = control_socket(server);
    const std::string second = server.directory() / "d";
    server.configure({.global = "control = d\n"});
    const Finished moved = ctl(server, {"reload"});
    CHECK(moved.status == ok);
    CHECK(moved.out == "reloaded, controlled at " + second + " from now on\n");
    CHECK(tricornctl({"-s", second, "status"}).status == ok);
    CHECK_FALSE(exists(first));

    server.configure({.global = "control = none/c\n"});
    const Finished refused = tricornctl({"-s", second, "reload"});
    CHECK(refused.status == failed);
    CHECK_THAT(refused.err, Contains("control: cannot make the socket"));
    CHECK(tricornctl({"-s", second, "status"}).status == ok);

    server.configure({});
    const Finished off = tricornctl({"-s", second, "reload"});
    CHECK(off.status == ok);
    CHECK(off.out == "reloading, and without a control socket from now on\n");
    CHECK(wait_for([&] { return !exists(second); }));
    CHECK(server.serves());
    server.configure({.global = with_control});
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return ctl(server, {"status"}).status == ok; }));
}

TEST_CASE("control: workers do not inherit the socket or its clients", "[control]")
{
    if (!is_root())
        SKIP_TEST("only root may see the descriptors of workers");
    const Server server({.global = with_control});
    REQUIRE(wait_serving(server));
    const ControlClient client(server);
    client.send("stat");
    // One that boots while there is a client; it has everything of the arbiter's until it begins.
    const pid_t killed = server.worker();
    ::kill(killed, SIGKILL);
    REQUIRE(wait_for([&] {
        const json pool = status_of(server)["pools"][0];
        return pool["settled"] == true && pool["total"] == 2 && !pool["exits"].empty();
    }));
    // Both ends of the server's have the path of the socket.
    std::istringstream sockets(read_file("/proc/net/unix"));
    std::vector<std::string> inodes;
    for (std::string line; std::getline(sockets, line);)
        if (line.ends_with(control_socket(server))) {
            std::istringstream fields(line);
            std::string inode;
            for (int i = 0; i < 7; ++i)
                fields >> inode;
            inodes.push_back("socket:[" + inode + "]");
        }
    CHECK(inodes.size() == 2);
    const auto holds = [&](pid_t pid) {
        Command list;
        list.arguments = {"ls", "-l", "/proc/" + std::to_string(pid) + "/fd"};
        const std::string descriptors = run(list).out;
        return std::any_of(inodes.begin(), inodes.end(), [&](const std::string& inode) {
            return descriptors.find(inode) != std::string::npos;
        });
    };
    CHECK(holds(server.pid()));
    for (const pid_t worker : server.workers())
        CHECK_FALSE(holds(worker));
}
