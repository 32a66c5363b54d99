// upgrade_test.cc - USR2 starts a new server beside the old one; either of the two may go.
// Source   gunicorn reexec and maybe_promote_master; nginx and unicorn upgrades.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <atomic>
#include <csignal>
#include <string>
#include <thread>

namespace {

constexpr Milliseconds soon{8000};

pid_t pid_in(const std::string& path)
{
    const std::string text = read_file(path);
    return text.empty() ? 0 : std::stoi(text);
}

const char* const not_yet = "this server does not upgrade in place yet";

bool refused(const Server& server)
{
    return server.log().find("not supported") != std::string::npos;
}

// A server with a pid file, and the new one that USR2 has started.
struct Upgrade {
    TempDir directory;
    std::string path = directory / "tricorn.pid";
    Server server{{.global = "pid = " + path + "\n"}};
    pid_t fresh = 0;
    bool possible = true;

    Upgrade()
    {
        REQUIRE(server.wait_workers(2));
        server.signal(SIGUSR2);
        REQUIRE(wait_for([&] { return pid_in(path + ".2") != 0 || refused(server); }, soon));
        possible = !refused(server);
        if (!possible)
            return;
        fresh = pid_in(path + ".2");
        REQUIRE(wait_for([&] { return children_of(fresh).size() == 2; }, soon));
    }
};

}  // namespace

TEST_CASE("upgrade: the new server serves when the old one has stopped", "[upgrade]")
{
    Upgrade upgrade;
    if (!upgrade.possible)
        SKIP_TEST(not_yet);
    CHECK(upgrade.fresh != upgrade.server.pid());
    CHECK(upgrade.server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK(wait_for([&] { return pid_in(upgrade.path) == upgrade.fresh; }, soon));
    CHECK_FALSE(exists(upgrade.path + ".2"));
    CHECK(exists(upgrade.server.socket()));
    for (int i = 0; i < 5; ++i)
        CHECK(upgrade.server.serves());
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
    CHECK_FALSE(exists(upgrade.server.socket()));
    CHECK_FALSE(exists(upgrade.path));
}

TEST_CASE("upgrade: the old server serves on when the new one is stopped", "[upgrade]")
{
    Upgrade upgrade;
    if (!upgrade.possible)
        SKIP_TEST(not_yet);
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([&] { return !alive(upgrade.fresh); }, soon));
    CHECK(wait_for([&] { return !exists(upgrade.path + ".2"); }, soon));
    CHECK(pid_in(upgrade.path) == upgrade.server.pid());
    CHECK(exists(upgrade.server.socket()));
    for (int i = 0; i < 5; ++i)
        CHECK(upgrade.server.serves());
}

TEST_CASE("upgrade: a second USR2 while two servers run changes nothing", "[upgrade]")
{
    Upgrade upgrade;
    if (!upgrade.possible)
        SKIP_TEST(not_yet);
    upgrade.server.signal(SIGUSR2);
    ::kill(upgrade.fresh, SIGUSR2);
    pause_for(Milliseconds{300});
    CHECK(pid_in(upgrade.path + ".2") == upgrade.fresh);
    CHECK(upgrade.server.serves());
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([&] { return !alive(upgrade.fresh); }, soon));
}

TEST_CASE("upgrade: a new server that cannot start leaves the old one as it was", "[upgrade]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    write_file(server.configuration(), "nonsense\n");
    server.signal(SIGUSR2);
    CHECK(wait_for([&] {
        return refused(server) ||
               server.log().find(server.configuration() + ":1") != std::string::npos;
    }));
    if (refused(server))
        SKIP_TEST(not_yet);
    CHECK(wait_for([&] { return server.workers().size() == 2; }, soon));
    CHECK(exists(server.socket()));
    CHECK(server.serves());
}

TEST_CASE("upgrade: no request is lost", "[upgrade]")
{
    std::atomic<bool> over = false;
    std::atomic<int> good = 0;
    std::atomic<int> bad = 0;
    Upgrade upgrade;
    if (!upgrade.possible)
        SKIP_TEST(not_yet);
    std::thread traffic([&] {
        while (!over) {
            bool fine = false;
            try {
                fine = upgrade.server.serves();
            } catch (const std::exception&) {
                fine = false;
            }
            (fine ? good : bad) += 1;
        }
    });
    CHECK(wait_for([&] { return good > 10; }));
    CHECK(upgrade.server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    const int before = good;
    CHECK(wait_for([&] { return good > before + 10; }));
    over = true;
    traffic.join();
    CHECK(bad == 0);
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}
