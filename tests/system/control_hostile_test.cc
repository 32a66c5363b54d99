// control_hostile_test.cc - the control socket never holds up the server, whatever its clients do.
// Source   CVE-2019-0211, CVE-2021-21703 (scoreboards); php-fpm bug 64539 (JSON of the status
//          page).
#include "tests/catch.h"
#include "tests/system/support/control.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

constexpr ExitStatus ok{0, 0};

// As long as the server has something better to do than to wait for a client of the socket.
constexpr Milliseconds at_once{4500};

bool replaces_a_worker(const Server& server)
{
    const auto old = server.workers();
    ::kill(old.at(0), SIGKILL);
    return wait_for(
        [&] {
            const auto now = server.workers();
            return now.size() == old.size() && std::count(now.begin(), now.end(), old[0]) == 0;
        },
        at_once);
}

}  // namespace

TEST_CASE("control: silent and half-sending clients hold up nothing", "[control]")
{
    const Server server({.global = with_control});
    REQUIRE(server.wait_workers(2));
    std::vector<ControlClient> clients;
    for (int i = 0; i < 16; ++i) {
        clients.emplace_back(server);
        if (i % 2 == 0)
            clients.back().send("stat");
    }
    CHECK(server.serves());
    CHECK(replaces_a_worker(server));
    CHECK(server.serves());
    // They are cut off, and others have their turn.
    CHECK(ctl(server, {"status"}).status == ok);
    CHECK(clients[0].receive().empty());
}

TEST_CASE("control: clients that do not take their reply hold up nothing", "[control]")
{
    std::string large;  // larger than what a socket takes before somebody reads
    for (int i = 0; i < 200; ++i)
        large += "env.LARGE" + std::to_string(i) + " = " + std::string(4000, 'x') + "\n";
    const Server server({.pool = "workers = 2\n" + large, .global = with_control});
    std::vector<ControlClient> clients;
    for (int i = 0; i < 16; ++i) {
        clients.emplace_back(server);
        clients.back().send("config\n");
    }
    CHECK(server.serves());
    const std::string whole = clients[0].receive();
    CHECK(whole.size() > 500'000);
    CHECK(json::parse(whole, nullptr, false)["ok"] == true);
    CHECK(replaces_a_worker(server));
    CHECK(ctl(server, {"status"}).status == ok);
}

TEST_CASE("control: flooding clients hold up neither requests nor a new worker", "[control]")
{
    const Server server({.global = with_control});
    REQUIRE(server.wait_workers(2));
    std::atomic<bool> over = false;
    std::atomic<int> asked = 0;
    std::vector<std::thread> flood;
    for (const std::string& what : {std::string("status\n"), std::string(100'000, 'x')})
        for (int i = 0; i < 2; ++i)
            flood.emplace_back([&, what] {
                while (!over) {
                    try {
                        const ControlClient client(server);
                        client.send(what);
                        asked += client.receive(Milliseconds{500}).empty() ? 0 : 1;
                    } catch (const std::system_error&) {
                        pause_for(Milliseconds{1});  // the queue is full
                    }
                }
            });
    CHECK(wait_for([&] { return asked > 50; }));
    for (int i = 0; i < 5; ++i)
        CHECK(server.serves());
    CHECK(replaces_a_worker(server));
    over = true;
    for (auto& thread : flood)
        thread.join();
    CHECK(ctl(server, {"status"}).status == ok);
}

TEST_CASE("control: hostile request lines leave the status valid and the terminal alone",
          "[control]")
{
    const Server server({.pool = "workers = 1\n", .global = with_control});
    Request request = server.get("act", "plain&out=begun&sleep=600000");
    request.set("REQUEST_URI", "/\x1b]0;title\x07\"\\</script>\xff\xc3(\xc2\x9b\r\n\x7f");
    FastcgiClient client(server.address());
    client.send(request.bytes());
    REQUIRE(client.wait_for_output("begun"));

    const Finished finished = ctl(server, {"--json", "status"});
    REQUIRE(finished.status == ok);
    CHECK(std::all_of(finished.out.begin(), finished.out.end(), [](char c) {
        return c == '\n' || (c >= ' ' && c < 0x7f);
    }));
    const json document = json::parse(finished.out, nullptr, false);
    REQUIRE(document.is_object());
    const std::string line = document["status"]["pools"][0]["workers"][0]["request"];
    CHECK(line.starts_with("GET /\x1b]0;title\x07\"\\</script>"));

    for (const char* command : {"status", "workers"}) {
        const Finished text = ctl(server, {command});
        CHECK_THAT(text.out, Contains("GET /\\x1B]0;title\\x07\"\\</script>"));
        CHECK(std::none_of(text.out.begin(), text.out.end(), [](char c) {
            return c != '\n' && (static_cast<unsigned char>(c) < ' ' || c == 0x7f);
        }));
    }
}

TEST_CASE("control: a worker that was taken over can lie in its status and do no more", "[control]")
{
    Server server({.pool = "handler = module\nmodule = " + public_file("tests/modules/vandal.so") +
                           "\nworkers = 2\ntimeout = 3s\nboot_timeout = 8s\n",
                   .global = with_control});
    REQUIRE(server.wait_workers(2));
    for (const std::string with : {"ff", "7f", "80", "00", "0a", "noise"}) {
        INFO(with);
        // It may have been found silent and be on its way out.
        const Reply reply = server.ask(server.get("", with));
        if (reply.end == End::ended)
            CHECK(reply.body() == "filled 1\n");
        const json status = status_of(server);
        for (const json& worker : status["pools"][0]["workers"]) {
            CHECK(worker["elapsed"] >= 0);
            CHECK(worker["age"] >= 0);
            CHECK(worker["request"].get<std::string>().size() < 2000);
        }
        CHECK(ctl(server, {"status"}).status == ok);
        CHECK(server.process().running());
    }
    // Those that look silent are replaced, and those that have taken back that they had booted.
    CHECK(wait_for(
        [&] {
            const json pool = status_of(server)["pools"][0];
            return pool["settled"] == true && pool["total"] == 2;
        },
        Milliseconds{40'000}));
}

TEST_CASE("control: workers that end and boast of what they have done are not replaced in a storm",
          "[control]")
{
    const Server server({.pool = "handler = module\nmodule = " +
                                 public_file("tests/modules/vandal.so") + "\nworkers = 1\n",
                         .environment = {{"VANDAL_BOASTS", "1"}},
                         .wait = false});
    REQUIRE(wait_for([&] { return count_of(server.log(), " started") >= 5; }));
    pause_for(Milliseconds{2'000});
    CHECK(count_of(server.log(), " started") <= 10);
}

TEST_CASE("control: what is no request is answered by a refusal and nothing is done", "[control]")
{
    const Server server({.global = with_control});
    REQUIRE(server.wait_workers(2));
    const auto workers = server.workers();
    for (const std::string& bytes : {std::string("\n"),
                                     std::string("\0stop\n", 6),
                                     std::string("STOP\n"),
                                     std::string("stop now\n"),
                                     std::string("kill -1\n"),
                                     std::string("GET / HTTP/1.1\r\n\r\n"),
                                     std::string(5000, '\xff')}) {
        const ControlClient client(server);
        client.send(bytes);
        const json document = json::parse(client.receive(), nullptr, false);
        REQUIRE(document.is_object());
        CHECK(document["ok"] == false);
    }
    CHECK(server.workers() == workers);
    CHECK(server.serves());
}
