// chroot_test.cc - pools with chroot, chdir and nice: what they see, and how a failure ends.
// Source   php-fpm's child set-up; slowcgi's and spawn-fcgi's chroot.
#include "tests/catch.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <pwd.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

std::string output_of(std::vector<std::string> arguments)
{
    Command command;
    command.arguments = std::move(arguments);
    return run(command).out;
}

// A directory to be the root of a pool, with /cgi/act and the libraries that it needs.
struct Jail {
    TempDir directory;
    const std::string& path = directory.path();

    Jail() { install(build_file("tests/data/cgi/act"), "/cgi/act"); }

    // As a distribution's chroot would be made: the file, and what ldd(1) says that it loads.
    void install(const std::string& file, const std::string& name) const
    {
        copy(file, name);
        std::istringstream words(output_of({"ldd", file}));
        for (std::string word; words >> word;)
            if (word.starts_with('/') && !exists(path + word))
                copy(word, word);
    }

    void copy(const std::string& file, const std::string& name) const
    {
        fs::create_directories(fs::path(path + name).parent_path());
        fs::copy_file(file, path + name, fs::copy_options::overwrite_existing);
    }

    std::string pool(const std::string& more = "") const
    {
        return "chroot = " + path + "\nroot = /cgi\nworkers = 1\n" + more;
    }
};

// What nginx would send: the path as seen inside.
Request inside(const Server& server, const std::string& script, const std::string& query)
{
    Request request = server.get(script, query);
    request.set("SCRIPT_FILENAME", "/cgi/" + script);
    request.set("DOCUMENT_ROOT", "/cgi");
    return request;
}

std::string link_of(pid_t pid, const std::string& name)
{
    std::error_code error;
    return fs::read_symlink("/proc/" + std::to_string(pid) + "/" + name, error).string();
}

// A server with that configuration whose system call fails, run to its end by strace(1).
Finished with_failing(const std::string& call,
                      const std::string& which,
                      const std::string& configuration)
{
    return run(failing(call, "error=EPERM" + which, {"-c", configuration}));
}

}  // namespace

TEST_CASE("chroot: a program sees the chroot as / and begins in its own directory there",
          "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Jail jail;
    const Server server({.pool = jail.pool()});
    const Reply reply = server.ask(inside(server, "act", "plain&process&ids"));
    REQUIRE(reply.status() == 200);
    CHECK(entry(reply.body(), "cwd") == "/cgi");
    CHECK(entry(reply.body(), "Uid") == "(absent)");  // there is no /proc inside
    CHECK(link_of(server.worker(), "root") == jail.path);
    CHECK(link_of(server.worker(), "cwd") == jail.path);
    const std::string uid = "\t" + std::to_string(::getpwnam(pool_user())->pw_uid);
    const std::string status = read_file("/proc/" + std::to_string(server.worker()) + "/status");
    CHECK(status.find("\nUid:" + uid + uid + uid + uid) != std::string::npos);
    CHECK(status.find("\nNoNewPrivs:\t1") != std::string::npos);
}

TEST_CASE("chroot: a program has no descriptor of anything outside", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Jail jail;
    const Server server({.pool = jail.pool()});
    FastcgiClient client(server.address());
    client.send(inside(server, "act", "text=here&sleep=60000").bytes());
    REQUIRE(client.wait_for_output("here"));
    const auto programs = server.programs();
    REQUIRE(programs.size() == 1);
    const pid_t program = programs[0];
    CHECK(link_of(program, "root") == jail.path);
    CHECK(link_of(program, "cwd") == jail.path + "/cgi");
    for (const auto& fd : fs::directory_iterator("/proc/" + std::to_string(program) + "/fd"))
        CHECK(fs::read_symlink(fd).string().starts_with("pipe:"));
}

TEST_CASE("chroot: a script runs with the interpreter that is inside", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Jail jail;
    jail.install("/bin/sh", "/bin/sh");
    jail.copy(source_file("tests/data/cgi/hello.sh"), "/cgi/hello.sh");
    write_file(jail.path + "/cgi/root.sh",
               "#!/bin/sh\necho 'A: b'\necho\nfor f in /* /../../*; do echo $f; done\n",
               0755);
    const Server server({.pool = jail.pool()});
    const Reply reply = server.ask(inside(server, "root.sh", ""));
    REQUIRE(reply.status() == 200);
    CHECK(reply.body().find("/cgi\n") != std::string::npos);
    CHECK(reply.body().find("etc") == std::string::npos);
    CHECK(reply.body().find("/../../cgi\n") != std::string::npos);
    // perl(1) is not inside.
    jail.copy(source_file("tests/data/cgi/hello.pl"), "/cgi/hello.pl");
    CHECK(server.ask(inside(server, "hello.pl", "")).status() == 502);
}

TEST_CASE("chroot: symbolic links lead to what is inside", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Jail jail;
    fs::create_symlink("/cgi/act", jail.path + "/cgi/link");
    fs::create_symlink("../../../../usr/bin/env", jail.path + "/cgi/out");
    const Server server({.pool = jail.pool()});
    CHECK(server.ask(inside(server, "link", "text=x")).status() == 200);
    CHECK(server.ask(inside(server, "out", "")).status() != 200);
    CHECK(server.ask(inside(server, "../../etc/passwd", "")).status() == 404);
}

TEST_CASE("chroot: mount and script are taken inside", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Jail jail;
    {
        const Server server({.pool = jail.pool("mount = /\n")});
        CHECK(server.ask(server.get("act", "text=x")).status() == 200);
    }
    const Server server({.pool = "chroot = " + jail.path + "\nscript = /cgi/act\n"});
    CHECK(entry(server.ask(server.get("any", "plain&process")).body(), "cwd") == "/cgi");
}

TEST_CASE("chroot: logs outside are written and reopened in the zone of the server", "[privilege]")
{
    const std::string zone = "/usr/share/zoneinfo/Asia/Tokyo";
    if (!is_root())
        SKIP_TEST("needs root");
    if (!exists(zone))
        SKIP_TEST("needs tzdata");
    const Jail jail;
    const TempDir logs;
    const std::string log = logs / "access";
    const Server server(
        {.pool = jail.pool("access_log = " + log + "\n"), .environment = {{"TZ", ":" + zone}}});
    const auto written = [&](const std::string& file) {
        return wait_for([&] { return read_file(file).find(" +0900] ") != std::string::npos; });
    };
    REQUIRE(server.ask(inside(server, "act", "text=x")).status() == 200);
    CHECK(written(log));
    fs::rename(log, log + ".1");
    server.signal(SIGUSR1);
    REQUIRE(server.wait_log("logs reopened"));
    CHECK(wait_for([&] {
        server.ask(inside(server, "act", "text=x"));
        return !read_file(log).empty();
    }));
    CHECK(written(log));
}

TEST_CASE("chroot: a module is loaded from inside", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    if (is_sanitized())
        SKIP_TEST("a sanitizer's runtime does not find its way");
    const Jail jail;
    jail.install(build_file("tests/modules/actor.so"), "/lib/actor.so");
    const Server server({.pool = "chroot = " + jail.path +
                                 "\nhandler = module\nmodule = /lib/actor.so\nworkers = 1\n"});
    CHECK(server.ask(server.get("any", "")).complete());
    CHECK(link_of(server.worker(), "root") == jail.path);
}

TEST_CASE("chroot: a new worker and a reload go inside as well", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Jail jail;
    const Jail other;
    Server server({.pool = jail.pool()});
    REQUIRE(server.wait_workers(1));
    const pid_t first = server.worker();
    server.configure({.pool = other.pool()});
    server.signal(SIGHUP);
    REQUIRE(wait_for([&] {
        const auto workers = server.workers();
        return workers.size() == 1 && workers[0] != first;
    }));
    CHECK(server.ask(inside(server, "act", "text=x")).status() == 200);
    CHECK(link_of(server.worker(), "root") == other.path);
}

TEST_CASE("chroot: a step that fails ends the server with 3 and is named", "[privilege]")
{
    if (!is_root() || !has_program("strace"))
        SKIP_TEST("needs root and strace");
    if (is_sanitized())
        SKIP_TEST("the leak checker does not work under strace");
    const Jail jail;
    const TempDir directory;
    const std::string file = directory / "conf";
    write_file(file,
               "[www]\nbind = unix:" + directory / "s" + "\nuser = " + pool_user() + "\n" +
                   jail.pool("chdir = /cgi\nnice = 3\n"));
    struct Step {
        std::string call;
        std::string which;
        std::string name;
    };
    for (const auto& [call, which, name] : {Step{"chroot", "", "chroot to " + jail.path},
                                            Step{"chdir", "", "the root directory of the chroot"},
                                            Step{"chdir", ":when=2+", "chdir to /cgi"},
                                            Step{"setpriority", "", "nice 3"}}) {
        CAPTURE(name);
        const Finished finished = with_failing(call, which, file);
        CHECK(finished.status == ExitStatus{3, 0});
        CHECK(finished.err.find("critical: [www] " + name) != std::string::npos);
    }
}

TEST_CASE("privileges: workers have the working directory of the pool and programs their own",
          "[privilege]")
{
    const TempDir directory;
    const Server server({.pool = "workers = 1\nchdir = " + directory.path() + "\n"});
    CHECK(entry(server.act("plain&process").body(), "cwd") == server.root());
    if (is_root())
        CHECK(link_of(server.worker(), "cwd") == directory.path());
}

TEST_CASE("privileges: workers and programs have the nice value of the pool", "[privilege]")
{
    const Server server({.pool = "nice = 7\n"});
    CHECK(entry(server.act("plain&process").body(), "nice") == "7");
}

TEST_CASE("privileges: root may give a pool a negative nice value", "[privilege]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Server server({.pool = "nice = -3\n"});
    CHECK(entry(server.act("plain&process").body(), "nice") == "-3");
}

TEST_CASE("privileges: what only root can do is ignored with a warning for anybody else",
          "[privilege]")
{
    const Jail jail;
    const TempDir directory;
    const std::string file = directory / "conf";
    write_file(file,
               "[www]\nbind = unix:" + directory / "s" + "\nroot = " + jail.path +
                   "/cgi\nuser = root\ngroup = root\nchroot = /nowhere\nnice = -1\n");
    jail.copy(binary(), "/tricorn");  // where anybody can run it
    Command command;
    command.arguments = {jail.path + "/tricorn", "--check-config", "-c", file};
    if (is_root())
        command.user = pool_user();
    const Finished finished = run(command);
    CHECK(finished.status == ExitStatus{0, 0});
    CHECK(finished.err ==
          "tricorn: warning: " + file + ":4: user: ignored, only root can change it\n" +
              "tricorn: warning: " + file + ":5: group: ignored, only root can change it\n" +
              "tricorn: warning: " + file + ":6: chroot: ignored, only root can change it\n" +
              "tricorn: warning: " + file + ":7: nice: -1 is ignored, only root can lower it\n");
}
