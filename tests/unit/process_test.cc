#include "base/error.h"
#include "base/pid_file.h"
#include "base/process.h"
#include "base/signals.h"
#include "tests/catch.h"
#include "tests/unit/support.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TEST_CASE("process: every way to end is said in words", "[process]")
{
    CHECK(describe({false, 3}) == "exited with status 3");
    CHECK(describe({true, SIGSEGV}) == "was killed by SIGSEGV (Segmentation fault)");
    CHECK(describe({true, 250}).find("signal 250") != std::string::npos);
}

TEST_CASE("process: the status of END_REQUEST tells a signal from an exit code", "[process]")
{
    CHECK(ExitStatus{false, 7}.app_status() == 7);
    CHECK(ExitStatus{true, SIGKILL}.app_status() == 128 + SIGKILL);
}

TEST_CASE("process: an unknown user or group is named in the error", "[process]")
{
    CHECK_THROWS_WITH(find_identity("no-such-user", ""), "user: there is no user \"no-such-user\"");
    CHECK_THROWS_WITH(find_identity("root", "no-such-group"),
                      "group: there is no group \"no-such-group\"");
    CHECK(find_identity("root", "").uid == 0);
    CHECK(find_identity("0", "").user == "root");
}

TEST_CASE("process: an identity has all groups of its user and the group that was named",
          "[process]")
{
    const Identity root = find_identity("root", "");
    CHECK(std::count(root.groups.begin(), root.groups.end(), root.gid) == 1);
    const Identity other = find_identity("root", "12345");
    CHECK(other.gid == 12345);
    CHECK(std::count(other.groups.begin(), other.groups.end(), gid_t{12345}) == 1);
    // Nobody is named, so nobody's other groups are taken.
    CHECK(find_identity("", "12345").groups == std::vector<gid_t>{12345});
}

TEST_CASE("process: a child of another parent is told that its parent is gone", "[process]")
{
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        ::_exit(follow_parent(1 << 30, SIGKILL) ? 1 : 0);
    int status = -1;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
}

TEST_CASE("signals: a blocked signal is read from the queue", "[signals]")
{
    sigset_t before;
    ::sigprocmask(SIG_SETMASK, nullptr, &before);
    {
        SignalQueue queue({SIGUSR1, SIGUSR2});
        CHECK_FALSE(queue.next());
        ::kill(::getpid(), SIGUSR2);
        CHECK(queue.next()->number == SIGUSR2);
        CHECK_FALSE(queue.next());
    }
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("pid file: it holds our number and goes with the object", "[pid_file]")
{
    const unit::TempDir dir;
    const std::string path = dir / "pid";
    {
        const PidFile file(path);
        long pid = 0;
        std::ifstream(path) >> pid;
        CHECK(pid == ::getpid());
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("pid file: one that a running process holds is not taken over", "[pid_file]")
{
    const unit::TempDir dir;
    PidFile held(dir / "pid.2");
    const bool moved = GENERATE(false, true);
    const std::string path = dir / (moved ? "pid" : "pid.2");
    if (moved)
        held.move_to(path);
    CHECK(held.is_file(path));
    CHECK_FALSE(held.is_file(dir / "other"));
    const std::string holder = "already running as process " + std::to_string(::getpid());
    CHECK(unit::in_child([&] {
              try {
                  const PidFile second(path);
                  return 1;
              } catch (const StartError& error) {
                  return std::string(error.what()).starts_with(holder) ? 0 : 2;
              }
          }) == 0);
    CHECK(std::distance(std::filesystem::directory_iterator(dir / ""), {}) == 1);
}

TEST_CASE("pid file: a stale or damaged one is replaced", "[pid_file]")
{
    const unit::TempDir dir;
    const std::string path = dir / "pid";
    // The last one: a process, but no server.
    const std::string contents = GENERATE(
        "", "garbage\n", "-4\n", "0\n", "4194304999\n", std::to_string(::getppid()) + "\n");
    std::ofstream(path) << contents;
    const PidFile file(path);
    long pid = 0;
    std::ifstream(path) >> pid;
    CHECK(pid == ::getpid());
}

TEST_CASE("pid file: what can be no pid file is not replaced", "[pid_file]")
{
    const unit::TempDir dir;
    const std::string path = dir / "pid";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK_THROWS_WITH(PidFile(path), path + " is in the way and is no pid file");
    CHECK(std::filesystem::is_fifo(path));
}

TEST_CASE("pid file: one that was replaced by somebody else stays", "[pid_file]")
{
    const unit::TempDir dir;
    const std::string path = dir / "pid";
    {
        const PidFile file(path);
        std::ofstream(path) << "1\n";
    }
    CHECK(std::filesystem::exists(path));
}

TEST_CASE("process: the number of a user has up to ten digits and is not the last one")
{
    CHECK(parse_id("0") == 0);
    CHECK(parse_id("1668801108") == 1668801108);
    CHECK(parse_id("4294967294") == 4294967294);
    for (const char* text : {"", "4294967295", "4294967296", "-1", "+1", " 1", "1x", "www-data"})
        CHECK_FALSE(parse_id(text));
}
