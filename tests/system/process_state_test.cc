// process_state_test.cc - the state in which a program starts: directory, descriptors, signals,
// session.
// Source   RFC 3875 section 7.2; descriptor leaks as in fcgiwrap; POSIX: exec keeps ignored
//          signals.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <string>

namespace {

std::string number_of(const Server& server, const std::string& step, const std::string& name)
{
    const Reply reply = server.act("plain&" + step);
    REQUIRE(reply.status() == 200);
    return entry(reply.body(), name);
}

}  // namespace

TEST_CASE("program state: the working directory is that of the script", "[environment]")
{
    const Server server;
    CHECK(number_of(server, "process", "cwd") == server.root());
    server.add_program("deeper/down/act", read_file(server.root() + "/act"));
    const Reply reply = server.ask(server.get("deeper/down/act", "plain&process"));
    CHECK(entry(reply.body(), "cwd") == server.root() + "/deeper/down");
}

TEST_CASE("program state: only the descriptors 0 and 1 and 2 are open", "[environment]")
{
    const Server server({.pool = "access_log = /dev/null\n"});
    for (int i = 0; i < 3; ++i) {
        const Reply reply = server.act("plain&fds");
        std::string numbers;
        for (const auto& [number, target] : parse_entries(reply.body())) {
            numbers += number + " ";
            CHECK(target.find("socket:") == std::string::npos);
        }
        CHECK(numbers == "0 1 2 ");
    }
}

TEST_CASE("program state: no signal is blocked or ignored", "[environment]")
{
    const Server server;
    const std::string none = "0000000000000000";
    CHECK(number_of(server, "signals", "SigBlk") == none);
    CHECK(number_of(server, "signals", "SigIgn") == none);
}

TEST_CASE("program state: the umask lets nobody else write unless the pool says so",
          "[environment]")
{
    const Server server;
    CHECK(number_of(server, "process", "umask") == std::to_string(022));
    const Server strict({.pool = "umask = 077\n"});
    CHECK(number_of(strict, "process", "umask") == std::to_string(077));
}

TEST_CASE("program state: each program leads a process group", "[environment]")
{
    const Server server;
    const Reply reply = server.act("plain&process");
    const std::string pid = entry(reply.body(), "pid");
    CHECK(entry(reply.body(), "pgid") == pid);
}

TEST_CASE("program state: a program that signals its group hurts only itself", "[environment]")
{
    const Server server;
    REQUIRE(server.wait_workers(2));
    const auto workers = server.workers();
    server.act("group=" + std::to_string(SIGTERM) + "&text=x");
    server.act("text=x&group=" + std::to_string(SIGKILL));
    CHECK(server.serves());
    CHECK(server.workers() == workers);
}

TEST_CASE("program state: no_new_privs is set unless the pool says otherwise", "[environment]")
{
    const Server server;
    CHECK(number_of(server, "ids", "NoNewPrivs") == "1");
    const Server open({.pool = "no_new_privs = no\n"});
    CHECK(number_of(open, "ids", "NoNewPrivs") == "0");
}

TEST_CASE("program state: resource limits of the pool hold for programs", "[environment]")
{
    const Server server({.pool = "rlimit_cpu = 7\nrlimit_as = 1G\nrlimit_nofile = 64\n"
                                 "rlimit_fsize = 1M\nrlimit_core = 0\n"});
    const std::string body = server.act("plain&limits").body();
    CHECK(entry(body, "cpu") == "7");
    CHECK(entry(body, "as") == std::to_string(1 << 30));
    CHECK(entry(body, "nofile") == "64");
    CHECK(entry(body, "fsize") == std::to_string(1 << 20));
    CHECK(entry(body, "core") == "0");
    CHECK(server.serves());
}
