// socket_test.cc - where the server listens, what it inherits, and what it tells the service
// manager.
// Source   sd_listen_fds(3), sd_notify(3), systemd-socket-activate(1); php-fpm listen.mode and
//          listen.owner.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/notify_socket.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

bool wait_serves(const Server& server, const std::string& address)
{
    return wait_for([&] {
        const int fd = try_connect(address);
        if (fd < 0)
            return false;
        ::close(fd);
        return server.serves_at(address);
    });
}

struct stat status_of(const std::string& path)
{
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status;
}

}  // namespace

TEST_CASE("sockets: a pool listens on several addresses at once", "[socket]")
{
    const TempDir directory;
    const std::string tcp = free_address();
    const std::string second = "unix:" + directory / "second";
    const Server server(
        {.pool = "bind = unix:" + directory / "first" + "\nbind = " + second + " " + tcp + "\n",
         .wait = false});
    CHECK(wait_serves(server, "unix:" + directory / "first"));
    CHECK(wait_serves(server, second));
    CHECK(wait_serves(server, tcp));
}

TEST_CASE("sockets: TCP over IPv6 is served", "[socket]")
{
    if (!has_ipv6())
        SKIP_TEST("no IPv6 here");
    const std::string tcp = free_address("[::1]");
    const Server server({.pool = "bind = " + tcp + "\n", .wait = false});
    CHECK(wait_serves(server, tcp));
}

TEST_CASE("sockets: a TCP client that sends nothing does not stop others", "[socket]")
{
    const std::string tcp = free_address();
    const Server server({.pool = "workers = 1\nbind = " + tcp + "\n", .wait = false});
    REQUIRE(wait_serves(server, tcp));
    const FastcgiClient silent(tcp);
    const Stopwatch watch;
    CHECK(ask(tcp, server.get("act", "text=x")).body() == "x");
    CHECK(watch.elapsed() < Milliseconds{1500});
}

TEST_CASE("sockets: small replies over TCP come without delay", "[socket]")
{
    const std::string tcp = free_address();
    const Server server({.pool = "bind = " + tcp + "\n", .wait = false});
    REQUIRE(wait_serves(server, tcp));
    // Waiting for an acknowledgement, or for the end, would delay each of them.
    CHECK(wait_for([&] {
        const Stopwatch watch;
        CHECK(ask(tcp, server.get("act", "plain&out=a&sleep=1&out=b")).body() == "ab");
        return watch.elapsed() < Milliseconds{40};
    }));
}

TEST_CASE("sockets: the socket file has mode 0660 unless the pool says otherwise", "[socket]")
{
    const Server server;
    CHECK((status_of(server.socket()).st_mode & 0777) == 0660);
    const Server open({.pool = "listen_mode = 0600\n"});
    CHECK((status_of(open.socket()).st_mode & 0777) == 0600);
}

TEST_CASE("sockets: listen_owner and listen_group own the socket file", "[socket]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Server server({.pool = "listen_owner = nobody\nlisten_group = www-data\n"});
    const struct stat status = status_of(server.socket());
    CHECK(status.st_uid == ::getpwnam("nobody")->pw_uid);
    CHECK(status.st_gid == ::getgrnam("www-data")->gr_gid);
}

TEST_CASE("sockets: a reload takes the socket file back from an owner that is no more named",
          "[socket]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    Server server({.pool = "listen_owner = nobody\nlisten_group = www-data\n"});
    server.configure({});
    server.signal(SIGHUP);
    CHECK(wait_for([&] {
        const struct stat status = status_of(server.socket());
        return status.st_uid == ::geteuid() && status.st_gid == ::getegid();
    }));
}

TEST_CASE("sockets: an inherited descriptor is served by fd://N", "[socket]")
{
    const TempDir directory;
    const std::string address = "unix:" + directory / "inherited";
    const int listener = listen_on(address);
    const Server configured;
    Command command;
    command.arguments = {binary(), "-c", configured.configuration(), "-b", "fd://5"};
    command.descriptors = {{5, listener}};
    command.err = directory / "log";
    Process process(command);
    CHECK(wait_serves(configured, address));
    process.signal(SIGTERM);
    CHECK(process.wait() == ExitStatus{0, 0});
    CHECK(exists(directory / "inherited"));  // not ours to remove
    ::close(listener);
}

TEST_CASE("sockets: systemd-socket-activate hands its socket over", "[socket]")
{
    if (!has_program("systemd-socket-activate"))
        SKIP_TEST("systemd-socket-activate is not installed");
    const TempDir directory;
    const Server configured;
    const std::string path = directory / "activated";
    Process process(activated(path, {"-c", configured.configuration(), "-b", "unix:" + path}));
    REQUIRE(wait_for([&] { return exists(path); }));
    // The connection that wakes the server up is the first one to be served.
    const Reply reply = ask("unix:" + path, configured.get("act", "plain&env&fds"));
    REQUIRE(reply.complete());
    CHECK(entry(reply.body(), "LISTEN_FDS") == "(absent)");
    CHECK(entry(reply.body(), "LISTEN_PID") == "(absent)");
    CHECK(entry(reply.body(), "3") == "(absent)");
    process.signal(SIGTERM);
    CHECK(process.wait() == ExitStatus{0, 0});
    CHECK(exists(path));
}

TEST_CASE("sockets: an activated server with a TARGET needs no bind", "[socket]")
{
    if (!has_program("systemd-socket-activate"))
        SKIP_TEST("systemd-socket-activate is not installed");
    const TempDir directory;
    const Server configured;
    const std::string path = directory / "activated";
    std::vector<std::string> arguments{configured.root()};
    if (is_root())
        arguments.insert(arguments.begin(), {"--user", pool_user()});
    Process process(activated(path, arguments));
    REQUIRE(wait_for([&] { return exists(path); }));
    CHECK(ask("unix:" + path, configured.get("act", "text=woken")).body() == "woken");
    process.signal(SIGTERM);
    CHECK(process.wait() == ExitStatus{0, 0});
}

TEST_CASE("sockets: requests sent while an activated server is down are served after its start",
          "[socket]")
{
    const TempDir directory;
    const std::string address = "unix:" + directory / "kept";
    const int listener = listen_on(address);
    const Server configured;
    FastcgiClient early(address);
    early.send(configured.get("act", "text=early").bytes());
    Command command;
    command.arguments = {binary(), "-c", configured.configuration(), "-b", "fd://3"};
    command.descriptors = {{3, listener}};
    Process process(command);
    CHECK(early.read_reply().body() == "early");
    process.signal(SIGTERM);
    CHECK(process.wait() == ExitStatus{0, 0});
    FastcgiClient between(address);
    between.send(configured.get("act", "text=between").bytes());
    Process again(command);
    CHECK(between.read_reply().body() == "between");
    again.signal(SIGTERM);
    CHECK(again.wait() == ExitStatus{0, 0});
    ::close(listener);
}

TEST_CASE("sockets: descriptors meant for another process are not taken", "[socket]")
{
    const TempDir directory;
    const std::string address = "unix:" + directory / "foreign";
    const int listener = listen_on(address);
    const Server configured;
    Command command;
    command.arguments = {
        binary(), "-c", configured.configuration(), "-b", "unix:" + directory / "own"};
    command.descriptors = {{3, listener}};
    command.environment = {{"LISTEN_PID", "1"}, {"LISTEN_FDS", "1"}};
    Process process(command);
    CHECK(wait_serves(configured, "unix:" + directory / "own"));
    FastcgiClient client(address);
    client.send(configured.get("act", "text=x").bytes());
    CHECK(client.read_reply(1, Milliseconds{300}).end == End::deadline);
    process.signal(SIGTERM);
    CHECK(process.wait() == ExitStatus{0, 0});
    ::close(listener);
}

TEST_CASE("sockets: the service manager is told about start and reload and stop", "[socket]")
{
    if (!knows_service_manager)
        SKIP_TEST("built without libsystemd");
    NotifySocket manager;
    Server server({.environment = {{"NOTIFY_SOCKET", manager.path()}}});
    REQUIRE(manager.wait("READY=1"));
    manager.forget();
    server.signal(SIGHUP);
    CHECK(manager.wait("RELOADING=1"));
    CHECK(manager.wait("READY=1"));
    server.signal(SIGTERM);
    CHECK(manager.wait("STOPPING=1"));
    CHECK(server.process().wait() == ExitStatus{0, 0});
}

TEST_CASE("sockets: the service manager can show what the server does", "[socket]")
{
    if (!knows_service_manager)
        SKIP_TEST("built without libsystemd");
    NotifySocket manager;
    Server server({.pool = "workers = 2\n", .environment = {{"NOTIFY_SOCKET", manager.path()}}});
    REQUIRE(manager.wait("READY=1"));
    CHECK(manager.wait("STATUS=www 0 busy, 2 idle, 0 requests"));
    CHECK(server.serves());
    CHECK(manager.wait("STATUS=www 0 busy, 2 idle, 1 request\n", Milliseconds{15'000}));
}

TEST_CASE("sockets: the service manager's watchdog gets signs of life also while workers drain",
          "[socket]")
{
    if (!knows_service_manager)
        SKIP_TEST("built without libsystemd");
    NotifySocket manager;
    Server server(
        {.environment = {{"NOTIFY_SOCKET", manager.path()}, {"WATCHDOG_USEC", "400000"}}});
    REQUIRE(manager.wait("READY=1"));
    for (int i = 0; i < 3; ++i) {
        manager.forget();
        CHECK(manager.wait_from(server.pid(), "WATCHDOG=1"));
    }
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go)).bytes());
    REQUIRE(client.wait_for_output("begun"));
    server.signal(SIGTERM);
    REQUIRE(manager.wait("STOPPING=1"));
    manager.forget();
    CHECK(manager.wait_from(server.pid(), "WATCHDOG=1"));
    write_file(go, "");
    CHECK(server.process().wait() == ExitStatus{0, 0});
}

TEST_CASE("sockets: NOTIFY_SOCKET does not reach programs", "[socket]")
{
    NotifySocket manager;
    const Server server({.environment = {{"NOTIFY_SOCKET", manager.path()}}});
    CHECK(entry(server.act("plain&env").body(), "NOTIFY_SOCKET") == "(absent)");
}
