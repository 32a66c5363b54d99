// boot_test.cc - start-up: what fails says so with its exit status; daemons; pid files; privileges.
// Source   gunicorn arbiter.py (exit codes 1, 3, 4), pidfile.py; suexec's refusal of root.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/notify_socket.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TEST_CASE("boot: a module that cannot be loaded ends the server with 4", "[process]")
{
    const TempDir directory;
    write_file(directory / "broken.so", "this is no shared object");
    Server server(
        {.pool = "handler = module\nmodule = " + directory / "broken.so" + "\n", .wait = false});
    CHECK(server.process().wait() == ExitStatus{4, 0});
    CHECK(server.log().find("broken.so") != std::string::npos);
}

TEST_CASE("boot: a worker that cannot give up root ends the server with 3", "[process]")
{
    if (!is_root() || !has_program("strace"))
        SKIP_TEST("needs root and strace");
    if (is_sanitized())
        SKIP_TEST("the leak checker does not work under strace");
    const Server configured;
    for (const std::string calls : {"setresuid,setuid", "setgroups", "setresgid,setgid"}) {
        const Command command = failing(
            calls,
            "error=EPERM",
            {"-c", configured.configuration(), "-b", "unix:" + configured.directory() / "other"});
        CAPTURE(calls);
        CHECK(run(command).status == ExitStatus{3, 0});
    }
}

TEST_CASE("boot: a worker closes the other pools' sockets also without close_range", "[process]")
{
    if (!is_root() || !has_program("strace"))
        SKIP_TEST("needs root and strace");
    if (is_sanitized())
        SKIP_TEST("the leak checker does not work under strace");
    const TempDir directory;
    const Server configured({.more = "[other]\nscript = " + public_file("tests/data/cgi/act") +
                                     "\nuser = " + pool_user() +
                                     "\nworkers = 1\nbind = unix:" + (directory / "other") + "\n"});
    std::vector<std::size_t> counts;
    for (const std::string how : {"error=ENOSYS:when=9999", "error=ENOSYS"}) {
        Command command = failing("close_range",
                                  how,
                                  {"-c",
                                   configured.configuration(),
                                   "--set",
                                   "control=",
                                   "--set",
                                   "www.bind=unix:" + directory / "a",
                                   "--set",
                                   "other.bind=unix:" + directory / "b"});
        command.limits = {{RLIMIT_NOFILE, 256}};
        command.err = directory / how;
        Process process(command);
        // Workers that have booted have closed what they do not need.
        REQUIRE(wait_for([&] { return count_of(read_file(command.err), "info: ready") == 1; }));
        CHECK(configured.serves_at("unix:" + directory / "b"));
        const pid_t arbiter = children_of(process.pid()).at(0);
        for (const pid_t worker : children_of(arbiter))
            counts.push_back(settled_descriptors(worker));
        ::kill(arbiter, SIGTERM);
        CHECK(process.wait() == ExitStatus{0, 0});
    }
    REQUIRE(counts.size() == 6);
    std::sort(counts.begin(), counts.end());
    CHECK(counts.front() == counts.back());
}

TEST_CASE("boot: a worker does not get the socket that another pool has as its standard input",
          "[process]")
{
    const TempDir place;
    const int socket = listen_on("unix:" + (place / "first"));
    const Server server(
        {.pool = "bind = fd://0\n",
         .more = "[other]\nroot = " + place.path() + "\nbind = unix:other\n" + user_line(),
         .descriptors = {{0, socket}},
         .wait = false});
    ::close(socket);
    REQUIRE(server.wait_log("ready"));
    for (const pid_t worker : server.workers()) {
        const std::string input =
            std::filesystem::read_symlink("/proc/" + std::to_string(worker) + "/fd/0");
        const bool first = title_of(worker).find("[www]") != std::string::npos;
        CHECK(input.starts_with(first ? "socket:" : "/dev/null"));
    }
    CHECK(server.serves_at("unix:" + (place / "first")));
}

TEST_CASE("boot: a pool that would run as root is refused without allow_root", "[process]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    Server server({.pool = "user = root\n", .wait = false});
    CHECK(server.process().wait() == ExitStatus{78, 0});
    CHECK(server.log().find("allow_root") != std::string::npos);
}

TEST_CASE("boot: with --allow-root a pool may run as root", "[process]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Server server({.pool = "user = root\n", .arguments = {"--allow-root"}});
    CHECK(entry(server.act("plain&ids").body(), "Uid") == "0\t0\t0\t0");
}

TEST_CASE("boot: the pid file is there while the server runs and is removed at its end",
          "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    Server server({.global = "pid = " + path + "\n"});
    CHECK(pid_in(path) == server.pid());
    struct stat status {};
    CHECK(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0644);
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    CHECK_FALSE(exists(path));
}

TEST_CASE("boot: a pid file of a running server stops the start with 1", "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    const Server first({.global = "pid = " + path + "\n"});
    Server second({.global = "pid = " + path + "\n", .wait = false});
    CHECK(second.process().wait() == ExitStatus{1, 0});
    CHECK(pid_in(path) == first.pid());
    CHECK(second.log().find(std::to_string(first.pid())) != std::string::npos);
}

TEST_CASE("boot: a stale pid file is replaced", "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    // No process has this number; the other one is no server.
    write_file(path, GENERATE(std::string("4194303\n"), std::to_string(::getpid()) + "\n"));
    const Server server({.global = "pid = " + path + "\n"});
    CHECK(pid_in(path) == server.pid());
}

TEST_CASE("boot: a pid file of a server that was killed is replaced at once", "[process]")
{
    const TempDir directory;
    const Setup setup{.global = "pid = " + (directory / "tricorn.pid") + "\n"};
    Server server(setup);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(server.serves());
        server.process().kill();
        server.start(setup);
        CHECK(wait_for([&] { return pid_in(directory / "tricorn.pid") == server.pid(); }));
    }
}

TEST_CASE("boot: a signal that comes as soon as there is a pid file is obeyed", "[process]")
{
    if (!has_program("strace") || is_sanitized())
        SKIP_TEST("needs strace, and a server without a sanitizer");
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    const Server configured({.global = "pid = " + path + "\n", .wait = false});
    Command command;
    command.arguments = {"strace",
                         "-f",
                         "-o",
                         "/dev/null",
                         "-e",
                         "inject=renameat2:delay_exit=500000",
                         binary(),
                         "-c",
                         configured.configuration(),
                         "-b",
                         "unix:" + (directory / "s"),
                         "--pid",
                         directory / "second.pid"};
    command.err = directory / "log";
    Process strace(command);
    REQUIRE(wait_for([&] { return pid_in(directory / "second.pid") != 0; }));
    const pid_t server = pid_in(directory / "second.pid");
    ::kill(server, SIGHUP);
    CHECK(wait_for(
        [&] { return read_file(directory / "log").find(": ready") != std::string::npos; }));
    const std::string obeyed =
        "received SIGHUP from process " + std::to_string(::getpid()) + ", user ";
    CHECK(wait_for([&] { return count_of(read_file(directory / "log"), obeyed) == 1; }));
    ::kill(server, SIGTERM);
    CHECK(strace.wait() == ExitStatus{0, 0});
}

TEST_CASE("boot: another spelling of the pid file changes nothing", "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    Server server({.global = "pid = " + path + "\n"});
    for (const std::string& spelling : {directory.path() + "/./tricorn.pid", path}) {
        server.configure({.global = "pid = " + spelling + "\n"});
        const std::size_t before = count_of(server.log(), "configuration reloaded");
        server.signal(SIGHUP);
        REQUIRE(
            wait_for([&] { return count_of(server.log(), "configuration reloaded") > before; }));
        CHECK(pid_in(path) == server.pid());
        Server second({.global = "pid = " + path + "\n", .wait = false});
        CHECK(second.process().wait() == ExitStatus{1, 0});
    }
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    CHECK_FALSE(exists(path));
}

TEST_CASE("boot: a pid file that another process has replaced is left alone", "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    Server server({.global = "pid = " + path + "\n"});
    write_file(path, "1\n");
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    CHECK(read_file(path) == "1\n");
}

TEST_CASE("boot: a daemon returns when it serves and stops by its pid file", "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    Server server({.global = "pid = " + path + "\nerror_log = " + directory / "log" + "\n",
                   .arguments = {"-D"},
                   .wait = false});
    CHECK(server.process().wait() == ExitStatus{0, 0});
    const pid_t daemon = pid_in(path);
    REQUIRE(daemon > 0);
    CHECK(daemon != server.pid());
    CHECK(server.serves());
    ::kill(daemon, SIGTERM);
    CHECK(wait_for([&] { return adopted().empty(); }));
    CHECK_FALSE(exists(path));
}

TEST_CASE("boot: a daemon that cannot start says so with its exit status", "[process]")
{
    const TempDir directory;
    const Server first;
    Server second({.pool = "bind = " + first.address() + "\n",
                   .global = "error_log = " + directory / "log" + "\n",
                   .arguments = {"-D"},
                   .wait = false});
    CHECK(second.process().wait() == ExitStatus{1, 0});
    CHECK(first.serves());
}

TEST_CASE("boot: a daemon whose workers do not start says so where it was called", "[process]")
{
    if (!is_root())
        SKIP_TEST("needs root: a directory that the pool may not search");
    const TempDir place;
    REQUIRE(::mkdir((place / "closed").c_str(), 0700) == 0);
    const Finished daemon = tricorn({"-D",
                                     "-u",
                                     pool_user(),
                                     "-b",
                                     "unix:" + place / "s",
                                     "--error-logfile",
                                     place / "log",
                                     "--set",
                                     "control=",
                                     place / "closed"});
    CHECK(daemon.status == ExitStatus{4, 0});
    CHECK(daemon.err ==
          "tricorn: the first workers did not start: " + (place / "log") + " says why\n");
    CHECK(read_file(place / "log")
              .find("root " + (place / "closed") +
                    ": the pool's user may not "
                    "search ") != std::string::npos);
}

TEST_CASE("boot: a daemon that is stopped before it serves was no success", "[process]")
{
    const TempDir directory;
    const SlowModule module;
    const std::string path = directory / "tricorn.pid";
    Server server({.pool = module.pool() + "graceful_timeout = 1s\n",
                   .global = "pid = " + path + "\nerror_log = " + directory / "log" + "\n",
                   .arguments = {"-D"},
                   .environment = module.environment(),
                   .wait = false});
    REQUIRE(wait_for([&] { return pid_in(path) != 0; }));
    ::kill(pid_in(path), SIGTERM);
    CHECK(server.process().wait() == ExitStatus{1, 0});
    CHECK(wait_for([] { return adopted().empty(); }));
}

TEST_CASE("boot: a reload before the first workers serve changes only what is started", "[process]")
{
    const SlowModule module;
    NotifySocket manager;
    auto environment = module.environment();
    environment["NOTIFY_SOCKET"] = manager.path();
    Server server({.pool = module.pool(), .environment = environment, .wait = false});
    REQUIRE(server.wait_log(" started"));
    write_file(server.configuration(), "nonsense\n");
    server.signal(SIGHUP);
    REQUIRE(server.wait_log("was not reloaded"));
    CHECK(manager.seen().find("READY=1") == std::string::npos);
    CHECK(manager.seen().find("RELOADING=1") == std::string::npos);
    server.configure({.pool = "handler = module\nmodule = " +
                              public_file("tests/modules/init_fails.so") + "\n"});
    server.signal(SIGHUP);
    CHECK(server.process().wait() == ExitStatus{4, 0});
}

TEST_CASE("boot: a server that stops leaves the pid file of the next one", "[process]")
{
    if (!has_program("strace") || !is_root() || is_sanitized())
        SKIP_TEST("needs strace and root");
    const TempDir directory;
    const std::string path = directory / "pid";
    const Server configured;
    const auto arguments = [&](const std::string& name) {
        return std::vector<std::string>{"-c",
                                        configured.configuration(),
                                        "-b",
                                        "unix:" + directory / name,
                                        "--set",
                                        "pid=" + path};
    };
    Command slow = failing("unlink", "delay_enter=500000", arguments("first"));
    slow.err = directory / "first.log";
    Process first(slow);
    REQUIRE(wait_for([&] { return pid_in(path) != 0; }));
    const pid_t old = pid_in(path);
    ::kill(old, SIGTERM);
    Command command;
    command.arguments = arguments("second");
    command.arguments.insert(command.arguments.begin(), binary());
    command.err = directory / "second.log";
    std::optional<Process> second;
    CHECK(wait_for([&] {
        if (!second || !second->running())
            second.emplace(command);
        const pid_t now = pid_in(path);
        return now != 0 && now != old;
    }));
    CHECK(first.wait().has_value());
    CHECK(pid_in(path) == second->pid());
    second->signal(SIGTERM);
    CHECK(second->wait() == ExitStatus{0, 0});
}

TEST_CASE("boot: WINCH retires the workers of a daemon and keeps the arbiter", "[process]")
{
    const TempDir directory;
    const std::string path = directory / "tricorn.pid";
    Server server({.global = "pid = " + path + "\nerror_log = " + directory / "log" + "\n",
                   .arguments = {"-D"},
                   .wait = false});
    REQUIRE(server.process().wait() == ExitStatus{0, 0});
    const pid_t daemon = pid_in(path);
    REQUIRE(wait_for([&] { return children_of(daemon).size() == 2; }));
    ::kill(daemon, SIGWINCH);
    CHECK(wait_for([&] { return children_of(daemon).empty(); }));
    CHECK(alive(daemon));
    ::kill(daemon, SIGHUP);
    CHECK(wait_for([&] { return children_of(daemon).size() == 2; }));
    CHECK(server.serves());
    ::kill(daemon, SIGTERM);
    CHECK(wait_for([&] { return adopted().empty(); }));
}
