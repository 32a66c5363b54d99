// module_test.cc - handler = module: what a module can do, and what it cannot do to the server.
#include "tests/catch.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include <sys/stat.h>

namespace {

// A module where the user of the pool can read it, and the keys of a pool that runs it.
class Module {
public:
    explicit Module(const std::string& built) : file(directory_ / "module.so")
    {
        write_file(file, read_file(build_file(built)), 0755);
    }
    std::string pool(const std::string& more = "") const
    {
        return "handler = module\nroot =\nmodule = " + file + "\n" + more;
    }

    // As an administrator should: beside the old one, and then in its place.
    void replace(const std::string& built) const
    {
        write_file(file + ".new", read_file(build_file(built)), 0755);
        std::filesystem::rename(file + ".new", file);
    }

private:
    TempDir directory_;

public:
    const std::string file;
};

Module actor()
{
    return Module("tests/modules/actor.so");
}

Reply post(const Server& server, const std::string& query, const std::string& body)
{
    return server.ask(server.post("m", query, body), default_patience * 3);
}

std::string noise(std::size_t size)
{
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<char>(i * 2'654'435'761u >> 24);
    return bytes;
}

// What a server prints and answers that cannot start.
Finished refused(const std::string& target, const TempDir& directory)
{
    std::vector<std::string> arguments{"-b", "unix:" + (directory / "s"), "-w", "1"};
    if (is_root())
        arguments.insert(arguments.end(), {"-u", pool_user()});
    arguments.push_back(target);
    return tricorn(arguments);
}

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

// --- requests -----------------------------------------------------------------------------------

TEST_CASE("modules: a module answers with what it is asked for", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("env.GREETING = hello\nmount = /m\n")});
    CHECK(server.ask(server.get("m", "text=hi")).body() == "hi");
    CHECK(server.ask(server.get("m", "param=GREETING")).body() == "hello");
    CHECK(server.ask(server.get("m", "param=REMOTE_ADDR")).body() == "192.0.2.7");
    CHECK(server.ask(server.get("m/rest", "param=PATH_INFO")).body() == "/rest");
    CHECK(server.ask(server.get("m/rest", "param=SCRIPT_NAME")).body() == "/m");
    CHECK(server.ask(server.get("elsewhere", "text=hi")).status() == 404);
}

TEST_CASE("modules: a mount may end with a slash", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("mount = /m/\n")});
    CHECK(server.ask(server.get("m/rest", "param=PATH_INFO")).body() == "/rest");
    CHECK(server.ask(server.get("m/rest", "param=SCRIPT_NAME")).body() == "/m");
}

TEST_CASE("modules: a log that is larger than rlimit_fsize ends no worker", "[modules]")
{
    const Module module = actor();
    const TempDir directory;
    const std::string log = directory / "access.log";
    write_file(log, std::string(10'000, '\n'));
    const Server server(
        {.pool = module.pool("workers = 1\nrlimit_fsize = 8k\naccess_log = " + log + "\n")});
    REQUIRE(server.wait_workers(1));
    const auto workers = server.workers();
    for (int i = 0; i < 3; ++i)
        CHECK(server.ask(server.get("m", "text=x")).body() == "x");
    CHECK(server.workers() == workers);
}

TEST_CASE("modules: a pool that asks for core dumps may have them", "[modules]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Module module = actor();
    for (const std::string limit : {"0", "1M"}) {
        const Server server({.pool = module.pool("workers = 1\nrlimit_core = " + limit + "\n")});
        REQUIRE(server.ask(server.get("m", "text=x")).body() == "x");  // it is whom it shall be
        // What a process may not show of itself belongs to root.
        struct stat status {};
        const std::string maps = "/proc/" + std::to_string(server.worker()) + "/maps";
        REQUIRE(::stat(maps.c_str(), &status) == 0);
        CHECK((status.st_uid == 0) == (limit == "0"));
    }
}

TEST_CASE("modules: one worker serves many requests with one copy of the module", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\n")});
    const std::string pid = server.ask(server.get("m", "pid")).body();
    for (int i = 0; i < 50; ++i)
        CHECK(server.ask(server.get("m", "pid")).body() == pid);
    CHECK(server.workers() == std::vector<pid_t>{static_cast<pid_t>(std::stol(pid))});
}

TEST_CASE("modules: a large body comes back while it is still being sent", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    const std::string body = noise(10 << 20);
    const Reply reply = post(server, "echo", body);
    CHECK(reply.complete());
    CHECK(reply.app_status == 0);
    CHECK((reply.body() == body));
}

TEST_CASE("modules: a large reply waits for its reader and costs no memory", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\n")});
    REQUIRE(server.ask(server.get("m", "megabytes=1")).complete());
    const pid_t worker = server.worker();
    const long before = resident_kilobytes(worker);
    FastcgiClient client(server.address());
    client.hold_reading(true);
    REQUIRE(client.send(server.get("m", "megabytes=40").bytes()));
    REQUIRE(client.wait_readable());
    REQUIRE(wait_asleep({worker}));
    CHECK(resident_kilobytes(worker) - before < 8192);
    client.hold_reading(false);
    const Reply reply = client.read_reply(1, default_patience * 3);
    CHECK(reply.complete());
    const std::string body = reply.body();
    const std::size_t lines = 40 * std::size_t((1 << 20) / 10);
    CHECK(body.size() == lines * 10);
    CHECK(body.ends_with(std::to_string(lines - 1) + "\n"));
}

TEST_CASE("modules: a reply gets through although the body was not read", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    const Reply reply = post(server, "text=early", noise(5 << 20));
    CHECK(reply.complete());
    CHECK(reply.body() == "early");
}

TEST_CASE("modules: what a module complains about is in the log line by line", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    CHECK(server.ask(server.get("m", "complain=things")).body() == "things");
    CHECK(server.wait_log("first things\n"));
    CHECK(server.wait_log("second line\n"));
    CHECK(server.wait_log("last\n"));
}

TEST_CASE("modules: complaints reach the web server when the pool says so", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("script_stderr = web\n")});
    const Reply reply = server.ask(server.get("m", "complain=things"));
    CHECK(reply.complete());
    CHECK(reply.err == "first things\nsecond line\nlast\n");
}

TEST_CASE("modules: the result of a module is the status of the request", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    const Reply reply = server.ask(server.get("m", "status=7"));
    CHECK(reply.complete());
    CHECK(reply.app_status == 7);
    CHECK(reply.status() == 200);
}

TEST_CASE("modules: streams may be closed twice and the reply be ended early", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    CHECK(server.ask(server.get("m", "close_twice")).body() == "closed");
    CHECK(server.ask(server.get("m", "work_on")).complete());
    CHECK(server.wait_log("actor: works on"));
}

TEST_CASE("modules: no reply at all is a 502", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    CHECK(server.ask(server.get("m", "silent")).status() == 502);
    CHECK(server.ask(server.get("m", "text=alive")).status() == 200);
}

// --- a module that fails ------------------------------------------------------------------------

TEST_CASE("modules: an exception is a 500 and the worker goes on", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\n")});
    REQUIRE(server.wait_workers(1));
    const auto workers = server.workers();
    CHECK(server.ask(server.get("m", "throw_early")).status() == 500);
    CHECK(server.wait_log("std::runtime_error: thrown early"));
    const Reply late = server.ask(server.get("m", "throw_late"));
    CHECK(late.end == End::invalid);
    CHECK(late.out.ends_with("half"));
    CHECK(server.ask(server.get("m", "text=alive")).body() == "alive");
    CHECK(server.workers() == workers);
}

TEST_CASE("modules: a crash costs its own request and the worker is replaced", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool()});
    REQUIRE(server.wait_workers(2));
    const auto before = server.workers();
    FastcgiClient bystander(server.address());
    const Request upload = server.post("m", "echo", "abc");
    REQUIRE(bystander.send(upload.head()));
    REQUIRE(wait_for([&] { return server.ask(server.get("m", "text=x")).complete(); }));

    const Reply crashed = server.ask(server.get("m", "crash"));
    CHECK_FALSE(crashed.complete());
    CHECK(server.wait_log("SIGABRT"));
    REQUIRE(bystander.send(upload.input()));
    CHECK(bystander.read_reply().body() == "abc");
    CHECK(wait_for([&] {
        const auto now = server.workers();
        return now.size() == 2 && now != before;
    }));
    CHECK(server.ask(server.get("m", "text=alive")).body() == "alive");
}

TEST_CASE("modules: a module that hangs is killed and its worker replaced", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\ntimeout = 1s\n")});
    REQUIRE(server.wait_workers(1));
    const auto before = server.workers();
    const Reply hung = server.ask(server.get("m", "hang"));
    CHECK_FALSE(hung.complete());
    CHECK(hung.end != End::deadline);
    CHECK(wait_for([&] { return server.workers().size() == 1 && server.workers() != before; }));
    CHECK(server.ask(server.get("m", "text=alive")).body() == "alive");
}

TEST_CASE("modules: a slow client is no hanging module", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\ntimeout = 2s\n")});
    REQUIRE(server.wait_workers(1));
    const auto before = server.workers();
    FastcgiClient client(server.address());
    const Request upload = server.post("m", "echo", "abc");
    REQUIRE(client.send(upload.head()));
    pause_for(Milliseconds{5'000});
    REQUIRE(client.send(upload.input()));
    CHECK(client.read_reply().body() == "abc");
    CHECK(server.workers() == before);
}

TEST_CASE("modules: a body that stops coming is a 408", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("body_timeout = 200ms\n")});
    FastcgiClient client(server.address());
    REQUIRE(client.send(server.post("m", "echo", "abc").head()));
    const Reply reply = client.read_reply();
    CHECK(reply.complete());
    CHECK(reply.status() == 408);
}

// --- start and end ------------------------------------------------------------------------------

TEST_CASE("modules: hooks run as the user of the pool and at the end", "[modules]")
{
    const Module module = actor();
    Server server({.pool = module.pool("workers = 1\n")});
    REQUIRE(server.wait_workers(1));
    CHECK(server.wait_log("actor: initialised as user "));
    if (is_root())
        CHECK_FALSE(contains(server.log(), "actor: initialised as user 0\n"));
    CHECK_FALSE(contains(server.log(), "actor: bows out"));
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    CHECK(server.wait_log("actor: bows out"));
}

TEST_CASE("modules: a request is finished when the server is stopped gently", "[modules]")
{
    const Module module = actor();
    Server server({.pool = module.pool("workers = 1\n")});
    FastcgiClient client(server.address());
    const Request upload = server.post("m", "echo", "abc");
    REQUIRE(client.send(upload.head()));
    REQUIRE(wait_asleep({server.worker()}));
    server.signal(SIGTERM);
    REQUIRE(server.wait_log("SIGTERM"));
    REQUIRE(client.send(upload.input()));
    const Reply reply = client.read_reply();
    CHECK(reply.complete());
    CHECK(reply.body() == "abc");
    CHECK(server.process().wait() == ExitStatus{0, 0});
}

TEST_CASE("modules: a quick stop ends a module that waits for its client", "[modules]")
{
    const Module module = actor();
    Server server({.pool = module.pool("workers = 1\n")});
    FastcgiClient client(server.address());
    REQUIRE(client.send(server.post("m", "echo", "abc").head()));
    REQUIRE(wait_asleep({server.worker()}));
    server.signal(SIGINT);
    CHECK(client.read_reply().status() == 503);
    CHECK(server.process().wait() == ExitStatus{0, 0});
    CHECK_FALSE(contains(server.log(), "SIGKILL"));
}

TEST_CASE("modules: resource limits of the pool hold for the worker", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("rlimit_nofile = 64\n")});
    CHECK(server.ask(server.get("m", "descriptors")).body() == "64 64");
}

TEST_CASE("modules: a module that ends its process while it loads ends the start", "[modules]")
{
    const TempDir directory;
    const Module quits("tests/modules/quits.so");
    const Finished finished = refused(quits.file, directory);
    CHECK(finished.status == ExitStatus{3, 0});
    CHECK(contains(finished.err, "the worker failed to boot, giving up"));
}

TEST_CASE("modules: a module that cannot be loaded ends the start with status 4", "[modules]")
{
    const TempDir directory;
    const Module empty("tests/modules/empty.so");
    const Finished no_entry = refused(empty.file, directory);
    CHECK(no_entry.status == ExitStatus{4, 0});
    CHECK(contains(no_entry.err, empty.file));
    CHECK(contains(no_entry.err, "undefined symbol: tricorn_handle"));

    const Module unresolved("tests/modules/unresolved.so");
    const Finished missing = refused(unresolved.file, directory);
    CHECK(missing.status == ExitStatus{4, 0});
    CHECK(contains(missing.err, "symbol_that_nobody_has"));

    const Module unwilling("tests/modules/init_fails.so");
    const Finished init = refused(unwilling.file, directory);
    CHECK(init.status == ExitStatus{4, 0});
    CHECK(contains(init.err, "tricorn_init returned 7"));

    const std::string garbage = directory / "garbage.so";
    write_file(garbage, std::string(5'000, 'x'), 0755);
    const Finished header = refused(garbage, directory);
    CHECK(header.status == ExitStatus{4, 0});
    CHECK(contains(header.err, "invalid ELF header"));
}

TEST_CASE("modules: a reload loads the file that is there then", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\n")});
    // The only worker has loaded it now.
    REQUIRE(server.ask(server.get("m", "text=old")).body() == "old");
    module.replace("examples/module/hello.so");
    CHECK(server.ask(server.get("m", "text=old")).body() == "old");
    server.signal(SIGHUP);
    CHECK(wait_for([&] {
        const Reply reply = server.ask(server.get("m", "text=old"));
        return reply.complete() && contains(reply.body(), "Hello");
    }));
}

TEST_CASE("modules: a reload with a module that cannot be loaded keeps the old one", "[modules]")
{
    const Module module = actor();
    const Server server({.pool = module.pool("workers = 1\n")});
    REQUIRE(server.ask(server.get("m", "text=alive")).body() == "alive");
    module.replace("tests/modules/init_fails.so");
    server.signal(SIGHUP);
    REQUIRE(server.wait_log("tricorn_init returned 7"));
    REQUIRE(server.wait_log("the next worker is started in"));
    for (int i = 0; i < 10; ++i)
        CHECK(server.ask(server.get("m", "text=alive")).body() == "alive");
}

// --- behind nginx -------------------------------------------------------------------------------

TEST_CASE("modules: behind nginx uploads arrive and broken replies are seen as broken", "[modules]")
{
    if (!has_program("nginx") || !has_program("curl"))
        SKIP_TEST("nginx or curl is not installed");
    const Module module = actor();
    const Server server({.pool = module.pool(socket_for_nginx())});
    const Nginx nginx(server, R"(
        location /streamed { @PARAMS@ fastcgi_request_buffering off; fastcgi_buffering off;
                             fastcgi_pass unix:@SOCKET@; }
        location / { @PARAMS@ fastcgi_pass unix:@SOCKET@; })");
    const TempDir directory;
    const std::string file = directory / "upload";
    write_file(file, noise(5 << 20));
    for (const char* path : {"/streamed", "/whole"}) {
        const HttpAnswer bounced =
            curl(nginx.url(path) + "?bounce", {"--data-binary", "@" + file}, default_patience * 3);
        CHECK(bounced.exit == 0);
        CHECK(bounced.status == 200);
        CHECK((bounced.body == read_file(file)));
        const HttpAnswer early = curl(
            nginx.url(path) + "?text=early", {"--data-binary", "@" + file}, default_patience * 3);
        CHECK(early.status == 200);
        CHECK(early.body == "early");
        CHECK(curl(nginx.url(path) + "?throw_early").status == 500);
        const HttpAnswer late = curl(nginx.url(path) + "?throw_late");
        CHECK((late.exit != 0 || late.status == 502));
    }
}

// --- the examples -------------------------------------------------------------------------------

TEST_CASE("modules: the example hello greets and counts", "[modules]")
{
    const Module module("examples/module/hello.so");
    const Server server({.pool = module.pool("workers = 1\n")});
    CHECK(contains(server.ask(server.get("hello")).body(), "Hello, 192.0.2.7!"));
    CHECK(contains(server.ask(server.get("hello")).body(), "request 2 of"));
}

TEST_CASE("modules: the example upload sums up what it reads", "[modules]")
{
    const Module module("examples/module/upload.so");
    const Server server({.pool = module.pool()});
    const std::string body = noise(3'000'000);
    std::uint64_t sum = 14'695'981'039'346'656'037u;
    for (const char byte : body)
        sum = (sum ^ static_cast<unsigned char>(byte)) * 1'099'511'628'211u;
    char expected[100];
    std::snprintf(expected, sizeof expected, "{\"size\": 3000000, \"fnv1a\": \"%lx\"}\n", sum);
    const Reply reply = post(server, "", body);
    CHECK(reply.complete());
    CHECK(reply.body() == expected);
    CHECK(server.ask(server.get("m")).status() == 405);
}
