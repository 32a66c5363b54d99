// privilege_test.cc - users, groups and what a program may do to its server. Most of it needs root.
// Source   suexec checks 107 to 110; CVE-2019-0211, CVE-2021-21703; php-fpm bug 80669 (groups left
//          over).
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <set>
#include <sstream>
#include <string>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

std::string ids_of(const Server& server, const std::string& name)
{
    const Reply reply = server.act("plain&ids");
    REQUIRE(reply.status() == 200);
    return entry(reply.body(), name);
}

std::string four_times(unsigned id)
{
    const std::string one = std::to_string(id);
    return one + "\t" + one + "\t" + one + "\t" + one;
}

}  // namespace

TEST_CASE("privileges: programs run as the user and group of the pool alone", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const struct passwd user = *::getpwnam(pool_user());
    const Server server;
    CHECK(ids_of(server, "Uid") == four_times(user.pw_uid));
    CHECK(ids_of(server, "Gid") == four_times(user.pw_gid));
    CHECK(ids_of(server, "CapEff") == "0000000000000000");
}

TEST_CASE("privileges: the groups are those of the user and root's are gone", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const struct passwd user = *::getpwnam(pool_user());
    gid_t groups[64];
    int count = 64;
    ::getgrouplist(pool_user(), user.pw_gid, groups, &count);
    const Server server;
    std::istringstream list(ids_of(server, "Groups"));
    std::set<gid_t> seen;
    for (gid_t group = 0; list >> group;)
        seen.insert(group);
    seen.insert(user.pw_gid);
    CHECK(seen == std::set<gid_t>(groups, groups + count));
    CHECK(seen.count(0) == 0);
}

TEST_CASE("privileges: group and user may be given apart", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Server server({.pool = "user = nobody\ngroup = www-data\n"});
    CHECK(ids_of(server, "Uid") == four_times(::getpwnam("nobody")->pw_uid));
    CHECK(ids_of(server, "Gid") == four_times(::getgrnam("www-data")->gr_gid));
}

TEST_CASE("privileges: workers have no privileges either and the arbiter keeps its own",
          "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Server server;
    REQUIRE(server.serves());
    const auto status_of = [](pid_t pid) {
        return read_file("/proc/" + std::to_string(pid) + "/status");
    };
    for (const pid_t worker : server.workers()) {
        CHECK(wait_for([&] {
            return status_of(worker).find("CapEff:\t0000000000000000") != std::string::npos;
        }));
        CHECK(status_of(worker).find("Uid:\t" + four_times(::getpwnam(pool_user())->pw_uid)) !=
              std::string::npos);
    }
    CHECK(status_of(server.pid()).find("Uid:\t0\t0\t0\t0") != std::string::npos);
}

TEST_CASE("privileges: two pools run as two users", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const TempDir directory;
    const std::string other = directory / "other";
    const std::string program = directory / "act";
    write_file(program, read_file(build_file("tests/data/cgi/act")), 0755);
    const Server server({.more = "[other]\nhandler = cgi\nscript = " + program +
                                 "\nbind = unix:" + other + "\nuser = nobody\nworkers = 1\n"});
    CHECK(ids_of(server, "Uid") == four_times(::getpwnam(pool_user())->pw_uid));
    const Reply reply = ask("unix:" + other, server.get("act", "plain&ids"));
    CHECK(entry(reply.body(), "Uid") == four_times(::getpwnam("nobody")->pw_uid));
}

TEST_CASE("privileges: a program cannot signal or trace its worker", "[privilege]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const std::string worker = std::to_string(server.worker());
    // A process that is not dumpable belongs to root in /proc, whoever it runs as.
    CHECK(wait_for([&] {
        struct stat status {};
        return ::stat(("/proc/" + worker + "/mem").c_str(), &status) == 0 && status.st_uid == 0;
    }));
    server.add_program("peek.sh",
                       "#!/bin/sh\necho 'A: b'\necho\n"
                       "cat /proc/" +
                           worker +
                           "/environ >/dev/null 2>&1 && echo environ\n"
                           "ls /proc/" +
                           worker +
                           "/fd >/dev/null 2>&1 && echo descriptors\n"
                           "dd if=/proc/" +
                           worker +
                           "/mem bs=1 count=0 >/dev/null 2>&1 && echo memory\n"
                           "echo end\n");
    if (!is_root() || ::geteuid() != ::getpwnam(pool_user())->pw_uid)
        CHECK(server.ask(server.get("peek.sh")).body() == "end\n");
}

TEST_CASE("privileges: a program of the pool cannot signal the arbiter", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Server server;
    server.add_program("kill.sh",
                       "#!/bin/sh\necho 'A: b'\necho\nkill -0 " + std::to_string(server.pid()) +
                           " 2>/dev/null && echo could\necho end\n");
    CHECK(server.ask(server.get("kill.sh")).body() == "end\n");
}
