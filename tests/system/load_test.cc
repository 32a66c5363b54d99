// load_test.cc - many requests at once: none is lost, mixed up or left without an answer.
// Source   accept queues of pre-fork servers; CVE-2012-6687 (descriptors above FD_SETSIZE).
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/server.h"

#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace {

// Asks `each` times in `threads` threads; counts what `good` does not accept.
template <class Ask>
int failures(int threads, int each, const Ask& good)
{
    std::atomic<int> bad = 0;
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t)
        running.emplace_back([&, t] {
            for (int i = 0; i < each; ++i) {
                bool fine = false;
                try {
                    fine = good(t * each + i);
                } catch (const std::exception&) {
                    fine = false;
                }
                bad += fine ? 0 : 1;
            }
        });
    for (auto& thread : running)
        thread.join();
    return bad;
}

bool right(const Server& server, int number)
{
    const std::string text = "answer" + std::to_string(number);
    const Reply reply = server.act("text=" + text);
    return reply.complete() && reply.status() == 200 && reply.body() == text;
}

}  // namespace

TEST_CASE("load: as many slow requests as workers run at the same time", "[load]")
{
    const Server server({.pool = "workers = 4\n"});
    const std::string go = server.directory() / "go";
    std::vector<FastcgiClient> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back(server.address());
        clients.back().send(
            server.get("act", "plain&out=here&wait=" + encode(go) + "&out=done").bytes());
    }
    for (auto& client : clients)
        CHECK(client.wait_for_output("here"));
    write_file(go, "");
    for (auto& client : clients)
        CHECK(client.wait_for_output("done"));
}

TEST_CASE("load: more slow requests than workers are all answered in the end", "[load]")
{
    const Server server({.pool = "workers = 2\n"});
    std::vector<FastcgiClient> clients;
    for (int i = 0; i < 12; ++i) {
        clients.emplace_back(server.address());
        clients.back().send(server.get("act", "sleep=50&text=done").bytes());
    }
    for (auto& client : clients)
        CHECK(client.read_reply().body() == "done");
}

TEST_CASE("load: 200 parallel requests get the right answers", "[load]")
{
    const Server server({.pool = "workers = 4\n"});
    CHECK(failures(10, 20, [&](int number) { return right(server, number); }) == 0);
}

TEST_CASE("load: bodies of parallel requests are never mixed up", "[load]")
{
    const Server server({.pool = "workers = 4\n"});
    CHECK(failures(8, 10, [&](int number) {
              const std::string body(30000 + static_cast<std::size_t>(number) * 17,
                                     static_cast<char>('a' + number % 26));
              const Reply reply = server.ask(server.post("act", "plain&echo", body));
              return reply.complete() && reply.body() == body;
          }) == 0);
}

TEST_CASE("load: 512 connections at once are all answered", "[load]")
{
    const Server server({.pool = "workers = 4\n"});
    std::vector<FastcgiClient> clients;
    for (int i = 0; i < 512; ++i) {
        clients.emplace_back(server.address());
        clients.back().send(server.get("hello.sh").bytes());
    }
    int answered = 0;
    for (auto& client : clients)
        answered += client.read_reply(1, Milliseconds{20000}).complete() ? 1 : 0;
    CHECK(answered == 512);
}

TEST_CASE("load: 1500 connections at once and a descriptor above 1024 do no harm", "[load]")
{
    struct rlimit limit {};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 4096)
        SKIP_TEST("the hard limit of open files is below 4096");
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const TempDir directory;
    const std::string address = "unix:" + directory / "inherited";
    const int listener = listen_on(address);
    const Server server({.pool = "workers = 1\nbind = fd://1100\n",
                         .limits = {{RLIMIT_NOFILE, 4096}},
                         .descriptors = {{1100, listener}},
                         .wait = false});
    ::close(listener);
    REQUIRE(server.wait_log("info: ready"));
    std::vector<FastcgiClient> silent;
    for (int i = 0; i < 1500; ++i)
        silent.emplace_back(address);
    CHECK(ask(address, server.get("act", "text=served")).body() == "served");
}

TEST_CASE("load: silent connections leave a worker descriptors for its work and its rest", "[load]")
{
    const Server server(
        {.pool = "workers = 1\nhead_timeout = 1s\n", .limits = {{RLIMIT_NOFILE, 40}}});
    REQUIRE(server.serves());
    std::vector<FastcgiClient> silent;
    for (int i = 0; i < 100; ++i)
        silent.emplace_back(server.address());
    pause_for(Milliseconds{100});
    const long before = cpu_ticks(server.worker());
    pause_for(Milliseconds{500});
    CHECK(cpu_ticks(server.worker()) - before < 25);
    CHECK(server.serves());
    silent.clear();
    CHECK(server.serves());
}

TEST_CASE("load: when a program cannot be started the answer is 5xx and service returns", "[load]")
{
    if (!has_program("strace") || is_sanitized())
        SKIP_TEST("strace is not installed");
    const Server configured;
    const std::string address = "unix:" + configured.directory() / "other";
    // The first attempt of each process to start another one fails: also that of each worker.
    Process process(failing("clone,clone3,vfork,fork",
                            "error=EAGAIN:when=1",
                            {"-c", configured.configuration(), "-b", address, "-w", "1"}));
    const auto status = [&] {
        const int fd = try_connect(address);
        if (fd < 0)
            return 0;
        ::close(fd);
        return ask(address, configured.get("act", "text=x")).status();
    };
    int first = 0;
    REQUIRE(wait_for([&] { return (first = status()) != 0; }));
    CHECK(first >= 500);
    CHECK(status() == 200);
    process.signal(SIGTERM);
    // strace does not hand signals on: it ends with its program.
    for (const pid_t pid : children_of(process.pid()))
        ::kill(pid, SIGTERM);
    CHECK(process.wait().has_value());
}

TEST_CASE("load: a full error log does not stop service", "[load]")
{
    const Server server({.pool = "access_log = /dev/full\n", .global = "error_log = /dev/full\n"});
    for (int i = 0; i < 5; ++i) {
        CHECK(server.serves());
        CHECK(server.act("err=lost%0a&kill=11").status() == 502);
    }
}

TEST_CASE("load: memory and descriptors of a worker do not grow over 400 requests", "[load]")
{
    const Server server({.pool = "workers = 1\n"});
    for (int i = 0; i < 50; ++i)
        REQUIRE(server.serves());
    const pid_t worker = server.worker();
    const long memory = resident_kilobytes(worker);
    const auto descriptors = settled_descriptors(worker);
    for (int i = 0; i < 400; ++i)
        REQUIRE(right(server, i));
    CHECK(server.workers() == std::vector<pid_t>{worker});
    // AddressSanitizer holds freed memory back for a while.
    CHECK(resident_kilobytes(worker) - memory < (is_sanitized() ? 65536 : 1024));
    CHECK(settled_descriptors(worker) == descriptors);
}

TEST_CASE("load: good requests among bad and aborted ones are answered right", "[load]")
{
    const Server server({.pool = "workers = 4\n"});
    CHECK(failures(6, 40, [&](int number) {
              switch (number % 6) {
              case 0:
                  FastcgiClient(server.address()).send("garbage that is no record");
                  return true;
              case 1: server.act("plain&fill=9000&kill=9"); return true;
              case 2:
                  FastcgiClient(server.address()).send(server.get("act", "sleep=500").bytes());
                  return true;
              default: return right(server, number);
              }
          }) == 0);
    CHECK(server.serves());
    CHECK(wait_for([&] { return server.programs().empty(); }));
}
