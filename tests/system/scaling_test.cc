// scaling_test.cc - how many workers there are, and when they are replaced.
// Source   php-fpm's dynamic and ondemand (pm-max-spawn-rate-run.phpt, proc-idle-timeout.phpt, bug
//          80024); gunicorn's max_requests_jitter.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/control.h"
#include "tests/system/support/server.h"
#include "tests/system/support/traffic.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr Milliseconds soon{12'000};

// Requests that are being served until they are let go.
class SlowRequests {
public:
    SlowRequests(const Server& server, int count) : go_(server.directory() / "go")
    {
        for (int i = 0; i < count; ++i) {
            clients_.push_back(std::make_unique<FastcgiClient>(server.address()));
            clients_.back()->send(
                server.get("act", "plain&wait=" + encode(go_) + "&out=done").bytes());
        }
    }
    // True when every one of them was answered.
    bool finish()
    {
        write_file(go_, "");
        return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) {
            const Reply reply = client->read_reply(1, soon);
            return reply.complete() && reply.body() == "done";
        });
    }

private:
    std::string go_;
    std::vector<std::unique_ptr<FastcgiClient>> clients_;
};

// All workers that there ever were within the time.
std::size_t most_workers(const Server& server, Milliseconds time)
{
    std::size_t most = 0;
    wait_for(
        [&] {
            most = std::max(most, server.workers().size());
            return false;
        },
        time);
    return most;
}

bool wait_other_worker(const Server& server, pid_t before)
{
    return wait_for(
        [&] {
            const auto workers = server.workers();
            return workers.size() == 1 && workers[0] != before;
        },
        soon);
}

}  // namespace

TEST_CASE("scaling: an ondemand pool starts a worker for the first request and none stays idle",
          "[scaling]")
{
    const Server server(
        {.pool = "scaling = ondemand\nworkers = 3\nidle_timeout = 3s\n", .wait = false});
    REQUIRE(server.wait_log("ready"));
    CHECK(server.workers().empty());
    CHECK(server.serves());
    CHECK(server.wait_workers(1));
    CHECK(server.wait_workers(0, soon));
    CHECK(server.serves());
}

TEST_CASE("scaling: an ondemand pool starts no more workers than it may have", "[scaling]")
{
    const Server server({.pool = "scaling = ondemand\nworkers = 3\n"});
    SlowRequests requests(server, 12);
    CHECK(server.wait_workers(3, soon));
    CHECK(most_workers(server, Milliseconds{500}) == 3);
    CHECK(requests.finish());
}

TEST_CASE("scaling: a dynamic pool grows with the load and shrinks after it", "[scaling]")
{
    const Server server({.pool = "scaling = dynamic\nworkers = 6\nmin_spare = 1\nmax_spare = 2\n"
                                 "start_workers = 1\n"});
    CHECK(server.wait_workers(1));
    SlowRequests requests(server, 6);
    CHECK(server.wait_workers(6, Milliseconds{30'000}));
    CHECK(most_workers(server, Milliseconds{500}) == 6);
    CHECK(requests.finish());
    CHECK(wait_for([&] { return server.workers().size() <= 2; }, soon));
    CHECK(server.serves());
}

TEST_CASE("scaling: a pool that is full says so once", "[scaling]")
{
    const Server server({.pool = "workers = 2\n"});
    SlowRequests requests(server, 5);
    CHECK(server.wait_log("all 2 workers are busy and ", soon));
    pause_for(Milliseconds{2'500});
    CHECK(requests.finish());
    CHECK(count_of(server.log(), " workers are busy and ") == 1);
}

TEST_CASE("scaling: max_processes bounds all pools together", "[scaling]")
{
    const TempDir place;
    const Server server(
        {.pool = "scaling = ondemand\nworkers = 8\n",
         .global = "max_processes = 4\n",
         .more = "[other]\nscaling = ondemand\nscript = " + public_file("tests/data/cgi/act") +
                 "\nuser = " + pool_user() + "\nbind = unix:" + place / "s\n"});
    SlowRequests requests(server, 8);
    CHECK(server.wait_workers(4, soon));
    CHECK(server.wait_log("[www] gets no more workers: there are 4, as max_processes allows"));
    const FastcgiClient waiting("unix:" + place / "s");
    CHECK(server.wait_log("[other] gets no more workers: there are 4, as max_processes allows"));
    CHECK(most_workers(server, Milliseconds{500}) == 4);
    CHECK(requests.finish());
}

TEST_CASE("scaling: a reload at max_processes replaces the workers all the same", "[scaling]")
{
    const Server server({.pool = "workers = 3\n", .global = "max_processes = 3\n"});
    REQUIRE(server.wait_workers(3));
    const auto old = server.workers();
    server.signal(SIGHUP);
    CHECK(wait_for(
        [&] {
            const auto now = server.workers();
            return now.size() == 3 && std::none_of(now.begin(), now.end(), [&](pid_t pid) {
                       return std::find(old.begin(), old.end(), pid) != old.end();
                   });
        },
        soon));
    CHECK(server.serves());
}

TEST_CASE("scaling: max_requests is exact when the worker may go", "[scaling]")
{
    const Server server({.pool = "workers = 1\nmax_requests = 3\n"});
    REQUIRE(server.wait_workers(1));
    std::vector<std::string> parents;
    for (int i = 0; i < 12; ++i)
        parents.push_back(entry(server.act("plain&process").body(), "ppid"));
    const std::set<std::string> distinct(parents.begin(), parents.end());
    for (const std::string& parent : distinct)
        CHECK(std::count(parents.begin(), parents.end(), parent) <= 3);
    CHECK(distinct.size() >= 4);
    CHECK(server.wait_log("was retired: max_requests"));
}

TEST_CASE("scaling: max_requests_jitter spreads the number of requests", "[scaling]")
{
    const Server server({.pool = "workers = 1\nmax_requests = 3\nmax_requests_jitter = 20\n"});
    std::set<int> numbers;
    const std::string words = " has served ";
    REQUIRE(wait_for(
        [&] {
            CHECK(server.serves());
            const std::string log = server.log();
            numbers.clear();
            for (std::size_t at = log.find(words); at != log.npos; at = log.find(words, at + 1))
                numbers.insert(std::stoi(log.substr(at + words.size())));
            return numbers.size() >= 3;
        },
        Milliseconds{60'000}));
    CHECK(*numbers.begin() >= 3);
    CHECK(*numbers.rbegin() <= 23);
}

TEST_CASE("scaling: workers that are due at once go by turns and no request is lost", "[scaling]")
{
    const Server server({.pool = "workers = 4\nmax_requests = 5\nrecycle_share = 25\n"});
    REQUIRE(server.wait_workers(4));
    for (int i = 0; i < 100; ++i)
        CHECK(server.serves());
    CHECK(server.wait_log("asks to be replaced"));
    // Those that may go do so at once, not when they happen to wake up.
    CHECK(server.wait_workers(4, Milliseconds{4'000}));
}

TEST_CASE("scaling: a worker is replaced when it is too old", "[scaling]")
{
    const Server server({.pool = "workers = 1\nmax_worker_age = 1s\n"});
    REQUIRE(server.wait_workers(1));
    CHECK(wait_other_worker(server, server.worker()));
    CHECK(server.wait_log("was retired: max_worker_age"));
    CHECK(server.serves());
}

TEST_CASE("scaling: a worker is replaced when it is too large", "[scaling]")
{
    const Server server({.pool = "workers = 1\nmax_worker_memory = 1M\n"});
    REQUIRE(server.wait_workers(1));
    CHECK(wait_other_worker(server, server.worker()));
    CHECK(server.wait_log("was retired: max_worker_memory"));
    const Server roomy({.pool = "workers = 1\nmax_worker_memory = 1G\n"});
    REQUIRE(roomy.wait_workers(1));
    const pid_t worker = roomy.worker();
    pause_for(Milliseconds{2'500});
    CHECK(roomy.worker() == worker);
}

TEST_CASE("scaling: a rolling reload replaces every worker", "[scaling]")
{
    const Server server({.pool = "workers = 4\nreload = rolling\n"});
    REQUIRE(server.wait_workers(4));
    const auto old = server.workers();
    server.signal(SIGHUP);
    CHECK(wait_for(
        [&] {
            const auto now = server.workers();
            return now.size() == 4 && std::none_of(now.begin(), now.end(), [&](pid_t pid) {
                       return std::find(old.begin(), old.end(), pid) != old.end();
                   });
        },
        soon));
    CHECK(server.serves());
}

TEST_CASE("scaling: a worker that does not boot is killed after boot_timeout", "[scaling]")
{
    const TempDir directory;
    const std::string module = directory / "module.so";
    write_file(module, read_file(build_file("tests/modules/init_waits.so")), 0755);
    Server server({.pool = "handler = module\nroot =\nmodule = " + module +
                           "\nworkers = 1\nboot_timeout = 500ms\ntimeout = 0\n",
                   .environment = {{"GO", directory / "never"}},
                   .wait = false});
    CHECK(server.wait_log("has not booted in boot_timeout", soon));
    CHECK(server.wait_log("SIGABRT", soon));
    // Another try would hang as well.
    CHECK(server.process().wait(soon) == ExitStatus{3, 0});
}

TEST_CASE("scaling: an ondemand pool serves on after its worker was killed early", "[scaling]")
{
    const Server server({.pool = "workers = 2\nscaling = ondemand\nidle_timeout = 200ms\n"});
    for (int i = 0; i < 3; ++i) {
        std::vector<pid_t> workers;
        REQUIRE(wait_for([&] { return server.serves() && !(workers = server.workers()).empty(); }));
        for (const pid_t worker : workers)
            ::kill(worker, SIGKILL);
        CHECK(wait_for([&] { return server.workers().empty(); }, soon));
    }
    CHECK(server.serves());
}

TEST_CASE("scaling: a reload is over when max_processes leaves no room for more", "[scaling]")
{
    const Setup setup{.pool = "workers = 8\nscaling = ondemand\n",
                      .global = "max_processes = 2\n" + with_control};
    Server server(setup);
    Traffic traffic(server, 6);
    REQUIRE(server.wait_log("gets no more workers", soon));
    server.configure({.pool = setup.pool + "env.COLOUR = green\n", .global = setup.global});
    CHECK(ctl(server, {"reload"}, Milliseconds{30'000}).status == ExitStatus{0, 0});
    traffic.stop();
    CHECK(traffic.lost() == 0);
    CHECK(entry(server.act("plain&env").body(), "COLOUR") == "green");
}

// --- queue_timeout ------------------------------------------------------------------------------

TEST_CASE("queue_timeout: a request that waited too long over TCP is 503", "[scaling]")
{
    const std::string tcp = free_address();
    Server server({.pool = "workers = 1\nqueue_timeout = 2s\nbind = " + tcp + "\n", .wait = false});
    REQUIRE(server.wait_log("info: ready"));
    const std::string go = server.directory() / "go";
    FastcgiClient first(tcp);
    first.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(first.wait_for_output("begun"));
    FastcgiClient second(tcp);
    second.send(server.get("act", "text=late").bytes());
    pause_for(Milliseconds{3000});
    write_file(go, "");
    CHECK(first.wait_for_output("done"));
    const Reply late = second.read_reply();
    CHECK(late.status() == 503);
    CHECK(late.answer().header("Retry-After") == "1");
    CHECK(ask(tcp, server.get("act", "text=prompt")).body() == "prompt");
}

TEST_CASE("queue_timeout: the web server's time counts where the kernel knows none", "[scaling]")
{
    const Server server({.pool = "queue_timeout = 30s\n"});
    Request request = server.get("act", "text=answered");
    CHECK(server.ask(request).body() == "answered");
    request.set("HTTP_X_REQUEST_START", "t=1700000000.000");
    CHECK(server.ask(request).body() == "answered");  // years ago: no time to rely on
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::system_clock::now().time_since_epoch());
    request.set("HTTP_X_REQUEST_START", "t=" + std::to_string(now.count() - 20) + ".5");
    CHECK(server.ask(request).body() == "answered");
    request.set("HTTP_X_REQUEST_START", "t=" + std::to_string(now.count() - 40) + ".5");
    CHECK(server.ask(request).status() == 503);
}
