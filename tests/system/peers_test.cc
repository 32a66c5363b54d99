// peers_test.cc - allowed_clients and allowed_users: who is served and who is closed.
// Source   php-fpm's listen.allowed_clients; s6 and systemd for SO_PEERCRED.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <string>

#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

std::string our_user()
{
    return std::to_string(::geteuid());
}

bool refused(const std::string& address)
{
    FastcgiClient client(address);
    return client.wait_closed();
}

std::size_t count_of(const std::string& text, std::string_view part)
{
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

}  // namespace

TEST_CASE("peers: a client that is allowed is served", "[socket]")
{
    for (const char* list : {"127.0.0.1", "10.0.0.0/8 127.0.0.0/8", "::ffff:127.0.0.1"}) {
        CAPTURE(list);
        const std::string tcp = free_address();
        const Server server(
            {.pool = "bind = " + tcp + "\nallowed_clients = " + list + "\n", .wait = false});
        REQUIRE(server.wait_log("ready"));
        CHECK(ask(tcp, server.get("act", "text=x")).body() == "x");
    }
}

TEST_CASE("peers: a client that is not allowed is closed and logged", "[socket]")
{
    const std::string tcp = free_address();
    const Server server(
        {.pool = "bind = " + tcp + "\nallowed_clients = 10.0.0.0/8 ::/0\n", .wait = false});
    REQUIRE(server.wait_log("ready"));
    CHECK(refused(tcp));
    CHECK(ask(tcp, server.get("act", "text=x")).end != End::ended);
    CHECK(server.wait_log("warning: [www] a connection was refused: 127.0.0.1 is not in "
                          "allowed_clients"));
}

TEST_CASE("peers: a list of clients says nothing about Unix sockets", "[socket]")
{
    const Server server({.pool = "allowed_clients = 10.0.0.0/8\n"});
    CHECK(server.serves());
}

TEST_CASE("peers: an IPv4 client of an inherited IPv6 socket is its IPv4 address", "[socket]")
{
    if (!has_ipv6())
        SKIP_TEST("no IPv6 here");
    const int socket = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 any{};
    socklen_t length = sizeof any;
    any.sin6_family = AF_INET6;
    const int both = 0;
    REQUIRE(::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both) == 0);
    REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
    REQUIRE(::listen(socket, 16) == 0);
    REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&any), &length) == 0);
    const std::string port = std::to_string(ntohs(any.sin6_port));

    const Server configured({.pool = "allowed_clients = 127.0.0.1\n"});
    Command command;
    command.arguments = {binary(), "-c", configured.configuration(), "-b", "fd://3"};
    command.descriptors = {{3, socket}};
    command.err = configured.directory() / "other-log";
    Process process(command);
    ::close(socket);
    const Request request = configured.get("act", "text=x");
    CHECK(ask("127.0.0.1:" + port, request).body() == "x");
    CHECK(refused("[::1]:" + port));
    process.signal(SIGINT);
    CHECK(process.wait() == ExitStatus{0, 0});
    CHECK(read_file(command.err).find("refused: ::1 is not in") != std::string::npos);
}

TEST_CASE("peers: a user who is allowed is served by name and by number", "[socket]")
{
    const std::string name = ::getpwuid(::geteuid())->pw_name;
    for (const std::string& list : {our_user(), name, "4000000000 " + our_user()}) {
        CAPTURE(list);
        const Server server({.pool = "allowed_users = " + list + "\n"});
        CHECK(server.serves());
    }
}

TEST_CASE("peers: a user who is not allowed is closed and logged", "[socket]")
{
    const Server server({.pool = "allowed_users = 4000000000\n"});
    CHECK(refused(server.address()));
    CHECK_FALSE(server.act("text=x").complete());
    CHECK(server.wait_log("warning: [www] a connection was refused: user " + our_user() +
                          ", process "));
    CHECK(server.wait_log(" is not in allowed_users"));
}

TEST_CASE("peers: a list of users says nothing about TCP", "[socket]")
{
    const std::string tcp = free_address();
    const Server server(
        {.pool = "bind = " + tcp + "\nallowed_users = 4000000000\n", .wait = false});
    REQUIRE(server.wait_log("ready"));
    CHECK(ask(tcp, server.get("act", "text=x")).body() == "x");
}

TEST_CASE("peers: a flood of strangers leaves a line for each worker and others are served",
          "[socket]")
{
    const std::string tcp = free_address();
    const Server server({.pool = "workers = 1\nbind = " + tcp +
                                 "\nbind = unix:$pool.s\n"
                                 "allowed_clients = 10.0.0.1\n",
                         .wait = false});
    REQUIRE(server.wait_log("ready"));
    const Stopwatch watch;
    for (int i = 0; i < 300; ++i)
        REQUIRE(refused(tcp));
    const auto periods = static_cast<std::size_t>(watch.elapsed() / Milliseconds{10'000});
    CHECK(ask("unix:" + server.directory() / "www.s", server.get("act", "text=x")).body() == "x");
    const std::size_t lines = count_of(server.log(), "a connection was refused");
    CHECK(lines >= 1);
    CHECK(lines <= 1 + periods);
}

TEST_CASE("peers: a reload brings another list into use", "[socket]")
{
    Server server({.pool = "workers = 1\nallowed_users = 4000000000\n"});
    REQUIRE(refused(server.address()));
    server.configure({.pool = "workers = 1\nallowed_users = " + our_user() + "\n"});
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return server.act("text=x").complete(); }));
}

TEST_CASE("peers: an entry that is wrong is a mistake of the configuration with its line",
          "[socket]")
{
    const TempDir directory;
    const std::string file = directory / "conf";
    write_file(file,
               "[www]\nscript = " + build_file("tests/data/cgi/act") + "\nbind = 127.0.0.1:0\n" +
                   "allowed_clients = 192.0.2.1\nallowed_clients = 10.0.0.1/8\n"
                   "allowed_users = root no_such_user\n" +
                   "user = " + pool_user() + "\n");
    const Finished finished = tricorn({"--check-config", "-c", file});
    CHECK(finished.status == ExitStatus{78, 0});
    CHECK(finished.err == "tricorn: " + file +
                              ":5: allowed_clients: \"10.0.0.1/8\" has bits set behind the first "
                              "8: write 10.0.0.0/8, or 10.0.0.1 for this address alone\n"
                              "tricorn: " +
                              file + ":6: allowed_users: there is no user \"no_such_user\"\n");
}
