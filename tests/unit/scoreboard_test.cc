#include "server/scoreboard.h"
#include "tests/catch.h"

#include <csignal>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

using server::Slot;
using server::WorkerReport;

TEST_CASE("scoreboard: a new slot counts as having beaten just now", "[scoreboard]")
{
    const TimePoint before = Clock::now();
    const Slot slot;
    const WorkerReport report = slot.report(Clock::now());
    CHECK(report.last_beat >= before);
    CHECK_FALSE(report.booted);
    CHECK_FALSE(report.busy);
}

TEST_CASE("scoreboard: the arbiter reads what another process wrote into its slot", "[scoreboard]")
{
    Slot slot;
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        slot.booted(Clock::now());
        slot.begin_request("GET /a", Clock::now());
        slot.end_request(Clock::now());
        slot.begin_request("GET /b?c", Clock::now());
        slot.set_script("/srv/b");
        ::_exit(0);
    }
    REQUIRE(::waitpid(pid, nullptr, 0) == pid);
    const WorkerReport report = slot.report(Clock::now());
    CHECK(report.booted);
    CHECK(report.busy);
    CHECK(report.requests == 1);
    CHECK(report.request == "GET /b?c");
    CHECK(report.script == "/srv/b");
}

TEST_CASE("scoreboard: texts that are too long are cut", "[scoreboard]")
{
    Slot slot;
    slot.begin_request(std::string(100'000, 'x'), Clock::now());
    slot.set_script(std::string(100'000, 'y'));
    const WorkerReport report = slot.report(Clock::now());
    CHECK(report.request == std::string(report.request.size(), 'x'));
    CHECK(report.request.size() < 1'000);
    CHECK(report.script == std::string(report.script.size(), 'y'));
    CHECK(report.script.size() < 1'000);
}

TEST_CASE("scoreboard: times in the future are taken for now", "[scoreboard]")
{
    Slot slot;
    const TimePoint now = Clock::now();
    slot.beat(now + std::chrono::hours(1'000));
    slot.begin_request("GET /", now + std::chrono::hours(1'000));
    CHECK(slot.report(now).last_beat == now);
    CHECK(slot.report(now).request_started == now);
}

TEST_CASE("scoreboard: a hidden slot is not mapped in later children", "[scoreboard]")
{
    Slot slot;
    slot.hide_from_children();
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ::signal(SIGSEGV, SIG_DFL);  // the test program catches it
        slot.beat(Clock::now());     // must crash
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    // A sanitizer turns the crash into an exit of its own.
    CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) != 0));
}
