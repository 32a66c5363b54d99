// owner_test.cc - owner_check: programs of others are refused, and the client learns no reason.
// Source   suexec's checks 116 to 120.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <atomic>
#include <string>
#include <thread>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

TEST_CASE("owner: programs of the pool's user run and those of others are refused", "[privilege]")
{
    const Server server({.pool = "owner_check = yes\n"});
    const std::string program = server.root() + "/act";
    if (is_root()) {  // who has installed it
        const Reply reply = server.act("text=x");
        CHECK(reply.status() == 403);
        CHECK(reply.body() == "403 Forbidden\n");
        CHECK(server.wait_log("\"" + program +
                              "\": owner_check: the program belongs to user 0 and group 0, and not "
                              "to the pool's user "));
        give_to_pool(program);
    }
    CHECK(server.act("text=x").body() == "x");
}

TEST_CASE("owner: what others can write and what changes the user is refused", "[privilege]")
{
    const Server server({.pool = "owner_check = yes\n"});
    const std::string program = server.root() + "/act";
    give_to_pool(program);
    REQUIRE(server.act("text=x").status() == 200);
    REQUIRE(::chmod(program.c_str(), 0775) == 0);
    CHECK(server.act("text=x").status() == 403);
    CHECK(server.wait_log("owner_check: the program can be written by its group or by others"));
    REQUIRE(::chmod(program.c_str(), 04755) == 0);
    CHECK(server.act("text=x").status() == 403);
    CHECK(server.wait_log("owner_check: the program is set-user-ID or set-group-ID"));
    REQUIRE(::chmod(program.c_str(), 0755) == 0);
    REQUIRE(::chmod(server.root().c_str(), 0775) == 0);
    CHECK(server.act("text=x").status() == 403);
    CHECK(server.wait_log("owner_check: the program's directory can be written"));
    REQUIRE(::chmod(server.root().c_str(), 0755) == 0);
    CHECK(server.act("text=x").status() == 200);
}

// Whoever could rename files between look and run would get their own program run as the user.
TEST_CASE("owner: a program that is swapped all the time never runs unless it may", "[privilege]")
{
    const Server server({.pool = "owner_check = yes\n"});
    const std::string good = server.root() + "/act";
    const std::string evil = server.root() + "/evil";
    write_file(evil, read_file("/bin/echo"), 0777);  // whose output would be a 502
    give_to_pool(good);
    std::atomic<bool> over = false;
    std::thread swapper([&] {
        while (!over)
            ::renameat2(AT_FDCWD, evil.c_str(), AT_FDCWD, good.c_str(), RENAME_EXCHANGE);
    });
    int served = 0;
    int refused = 0;
    int other = 0;
    for (int i = 0; i < 300; ++i) {
        const int status = server.act("text=x").status();
        ++(status == 200 ? served : status == 403 ? refused : other);
    }
    over = true;
    swapper.join();
    CHECK(other == 0);
    CHECK(served > 0);
    CHECK(refused > 0);
}
