// hooks_test.cc - the administrator's commands run when they should, with what they should know,
// and whatever they do, the server goes on.
// Source   gunicorn's server hooks; the zombies and descriptors that uWSGI's hooks have leaked.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

constexpr Milliseconds soon{5000};

// A file that a command leaves, and the lines that it had.
struct Note {
    std::string path;

    // A command line that writes what `command` prints, whole or not at all.
    std::string written_by(const std::string& command) const
    {
        return "{ " + command + "; } > " + path + ".new && mv " + path + ".new " + path;
    }
    std::string wait() const
    {
        REQUIRE(wait_for([&] { return exists(path); }));
        return read_file(path);
    }
    pid_t wait_pid() const { return std::stoi(wait()); }
};

std::vector<std::string> lines_of(const std::string& text)
{
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

bool has_line(const std::string& text, const std::string& line)
{
    const auto lines = lines_of(text);
    return std::find(lines.begin(), lines.end(), line) != lines.end();
}

bool commands_have_gone(const Server& server)
{
    return hook_commands_of(server.pid()).empty() && !any_zombie_beneath(server.pid());
}

pid_t wait_worker(const Server& server)
{
    std::vector<pid_t> workers;
    REQUIRE(wait_for([&] { return !(workers = workers_of(server.pid())).empty(); }));
    return workers.back();
}

}  // namespace

TEST_CASE("hooks: on_ready runs once with its variables and a clean environment", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const Server server({.global = "on_ready = " + note.written_by("env; pwd; cat") + "\n",
                         .environment = {{"SECRET", "of the server"}, {"HOME", "/nowhere"}}});
    const std::string text = note.wait();
    INFO(text);
    CHECK(has_line(text, "TRICORN_EVENT=ready"));
    CHECK(has_line(text, "TRICORN_PID=" + std::to_string(server.pid())));
    CHECK(has_line(text, "/"));
    CHECK(text.find("PATH=") != std::string::npos);
    CHECK(text.find("SECRET") == std::string::npos);
    CHECK(text.find("HOME") == std::string::npos);
    CHECK(server.serves());
    CHECK(count_of(text, "TRICORN_") == 2);
}

TEST_CASE("hooks: a command has three descriptors and default signals and its own group", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const std::string act = build_file("tests/data/cgi/act");
    const Server server(
        {.global = "on_ready = " +
                   note.written_by("QUERY_STRING='fds&signals&process' exec " + act) + "\n"});
    // The program takes the place of the shell, which cannot rename the file then.
    REQUIRE(wait_for([&] { return entry(read_file(note.path + ".new"), "cwd", "") == "/"; }));
    const std::string text = read_file(note.path + ".new");
    CHECK(entry(text, "0") == "/dev/null");
    CHECK(entry(text, "1") == note.path + ".new");
    CHECK(entry(text, "2") == server.directory() / "log");
    CHECK(parse_entries(text).size() == 3 + 3 + 7);
    CHECK(entry(text, "SigBlk") == "0000000000000000");
    CHECK(entry(text, "SigIgn") == "0000000000000000");
    CHECK(entry(text, "pgid") != std::to_string(::getpgid(server.pid())));
    CHECK(entry(text, "pgid") == entry(text, "ppid"));  // its keeper's
}

TEST_CASE("hooks: on_reload says whether the reload has succeeded", "[hooks]")
{
    const TempDir place;
    const std::string log = place / "reloads";
    const Setup setup{.global = "on_ready = echo ready >> " + log +
                                "\non_reload = echo $TRICORN_EVENT $TRICORN_RELOAD >> " + log +
                                "\n"};
    const Server server(setup);
    REQUIRE(wait_for([&] { return read_file(log) == "ready\n"; }));
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return read_file(log) == "ready\nreload ok\n"; }));
    write_file(server.configuration(), "nonsense\n");
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return read_file(log) == "ready\nreload ok\nreload failed\n"; }));
    CHECK(server.serves());
}

TEST_CASE("hooks: on_reload hears once of new workers that do not boot", "[hooks]")
{
    const TempDir place;
    const std::string log = place / "reloads";
    Setup setup{.global = "on_reload = echo $TRICORN_RELOAD >> " + log + "\n"};
    Server server(setup);
    setup.pool =
        "workers = 2\nhandler = module\nmodule = " + public_file("tests/modules/init_fails.so") +
        "\n";
    server.configure(setup);
    server.signal(SIGHUP);
    REQUIRE(server.wait_log("the next worker is started in 2 s"));
    CHECK(wait_for([&] { return read_file(log) == "failed\n"; }));
    setup.pool = "";
    server.configure(setup);
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return read_file(log) == "failed\nok\n"; }));
}

TEST_CASE("hooks: a reload brings new commands into use", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    Server server;
    server.configure({.global = "on_reload = " + note.written_by("echo new") + "\n"});
    server.signal(SIGHUP);
    CHECK(note.wait() == "new\n");
}

TEST_CASE("hooks: on_worker_exit knows the worker and how it ended", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const Server server(
        {.pool = "workers = 1\n", .global = "on_worker_exit = " + note.written_by("env") + "\n"});
    REQUIRE(server.serves());
    const pid_t killed = wait_worker(server);
    ::kill(killed, SIGKILL);
    std::string text = note.wait();
    INFO(text);
    CHECK(has_line(text, "TRICORN_EVENT=worker_exit"));
    CHECK(has_line(text, "TRICORN_POOL=www"));
    CHECK(has_line(text, "TRICORN_WORKER_PID=" + std::to_string(killed)));
    CHECK(has_line(text, "TRICORN_EXIT_SIGNAL=SIGKILL"));
    CHECK(has_line(text, "TRICORN_EXIT_STATUS="));
    ::unlink(note.path.c_str());
    for (int i = 0; i < 3; ++i)
        REQUIRE(server.serves());
    ::kill(wait_worker(server), SIGTERM);
    text = note.wait();
    CHECK(has_line(text, "TRICORN_EXIT_SIGNAL="));
    CHECK(has_line(text, "TRICORN_EXIT_STATUS=0"));
    CHECK(has_line(text, "TRICORN_WORKER_REQUESTS=3"));
}

TEST_CASE("hooks: on_stop runs while the server still serves", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const std::string go = place / "go";
    Server server({.global = "on_stop = " + note.written_by("env") + "; until test -e " + go +
                             "; do sleep 0.02; done\n"});
    server.signal(SIGTERM);
    CHECK(has_line(note.wait(), "TRICORN_EVENT=stop"));
    server.signal(SIGTERM);
    CHECK(wait_for([&] { return count_of(server.log(), "received SIGTERM") == 2; }));
    for (int i = 0; i < 5; ++i)
        CHECK(server.serves());
    CHECK(server.process().running());
    write_file(go, "");
    CHECK(server.process().wait() == ExitStatus{0, 0});
}

TEST_CASE("hooks: on_stop that hangs delays a stop by hook_timeout only", "[hooks]")
{
    Server server({.global = "on_stop = sleep 600\nhook_timeout = 300ms\n"});
    CHECK(server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK(server.log().find("on_stop: the command was killed by SIGTERM") != std::string::npos);
}

TEST_CASE("hooks: INT cuts on_stop short and INT again ends it", "[hooks]")
{
    for (const bool twice : {false, true}) {
        CAPTURE(twice);
        const TempDir place;
        const Note note{place / "note"};
        Server server({.global = "on_stop = " + note.written_by("echo $$") + "; sleep 600\n"});
        server.signal(SIGTERM);
        const pid_t command = note.wait_pid();
        const Stopwatch watch;
        server.signal(SIGINT);
        // Signals of one kind that wait at the same time are one.
        if (twice) {
            CHECK(wait_for([&] { return server.workers().size() <= 1; }));
            server.signal(SIGINT);
        }
        CHECK(server.process().wait(soon) == ExitStatus{0, 0});
        CHECK((watch.elapsed() < Milliseconds{1900}) == twice);
        CHECK_FALSE(alive(command));
    }
}

TEST_CASE("hooks: on_stop is not run for a server that was never ready", "[hooks]")
{
    const TempDir place;
    write_file(place / "broken.so", "this is no shared object");
    Server server({.pool = "handler = module\nmodule = " + place / "broken.so" + "\n",
                   .global = "on_ready = touch " + place / "ready" + "\non_stop = touch " +
                             place / "stop" + "\n",
                   .wait = false});
    CHECK(server.process().wait() == ExitStatus{4, 0});
    CHECK_FALSE(exists(place / "ready"));
    CHECK_FALSE(exists(place / "stop"));
}

TEST_CASE("hooks: a start that fails leaves commands some time", "[hooks]")
{
    const TempDir place;
    const std::string log = place / "exits";
    Server server(
        {.pool = "workers = 2\nhandler = module\nmodule = " +
                 public_file("tests/modules/init_fails.so") + "\n",
         .global = "on_worker_exit = sleep 0.3; echo $TRICORN_EXIT_STATUS >> " + log + "\n",
         .wait = false});
    CHECK(server.process().wait() == ExitStatus{4, 0});
    CHECK(read_file(log) == "4\n4\n");
    CHECK(count_of(server.log(), "giving up") == 1);
}

TEST_CASE("hooks: on_stop is not run by a server in whose place another one goes on", "[hooks]")
{
    const TempDir place;
    const std::string stops = place / "stops";
    const std::string pid_file = place / "pid";
    Server server(
        {.global = "pid = " + pid_file + "\non_stop = echo $TRICORN_PID >> " + stops + "\n"});
    const auto upgrade = [&](pid_t old) {
        ::kill(old, SIGUSR2);
        REQUIRE(wait_for([&] { return pid_in(pid_file + ".2") != 0; }));
        const pid_t fresh = pid_in(pid_file + ".2");
        REQUIRE(server.wait_log("[" + std::to_string(fresh) + "] info: ready"));
        return fresh;
    };
    // Taken back, then completed.
    const pid_t taken_back = upgrade(server.pid());
    ::kill(taken_back, SIGTERM);
    REQUIRE(wait_for([&] { return !alive(taken_back) && !exists(pid_file + ".2"); }));
    const pid_t fresh = upgrade(server.pid());
    CHECK(server.stop(SIGTERM) == ExitStatus{0, 0});
    CHECK(server.serves());
    CHECK_FALSE(exists(stops));
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }));
    CHECK(read_file(stops) == std::to_string(fresh) + "\n");
}

TEST_CASE("hooks: on_stop is run by a new server when the old one stops already", "[hooks]")
{
    const TempDir place;
    const std::string stops = place / "stops";
    Server server({.global = "pid = " + (place / "pid") + "\non_stop = echo $TRICORN_PID >> " +
                             stops + "\n"});
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(place / "go")).bytes());
    REQUIRE(client.wait_for_output("begun"));
    server.signal(SIGUSR2);
    REQUIRE(server.wait_log("ready, beside the old server"));
    const pid_t fresh = pid_in(place / "pid.2");
    server.signal(SIGTERM);
    REQUIRE(server.wait_log("leaving it to the new server"));
    CHECK(wait_for([&] { return title_of(server.pid()) == "tricorn: arbiter (stopping)"; }));
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([&] { return read_file(stops) == std::to_string(fresh) + "\n"; }));
    CHECK(wait_for([&] { return !alive(fresh); }));
    give_to_pool(place.path());
    write_file(place / "go", "");
    CHECK(server.process().wait() == ExitStatus{0, 0});
}

TEST_CASE("hooks: a command that hangs is killed and nothing else waits for it", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const Server server({.pool = "workers = 2\n",
                         .global = "on_ready = trap '' TERM; " + note.written_by("echo $$") +
                                   "; while :; do sleep 1; done\nhook_timeout = 4s\n"});
    const pid_t command = note.wait_pid();
    CHECK(server.serves());
    server.signal(SIGTTIN);
    CHECK(wait_for([&] { return workers_of(server.pid()).size() == 3; }));
    CHECK(alive(command));
    CHECK(wait_for([&] { return !alive(command); }));
    CHECK(server.wait_log("on_ready: the command was killed by SIGKILL"));
    CHECK(wait_for([&] { return commands_have_gone(server); }));
    CHECK(server.serves());
}

TEST_CASE("hooks: a storm of events runs few commands and counts the rest", "[hooks]")
{
    const TempDir place;
    const std::string log = place / "log";
    const std::string go = place / "go";
    const Server server({.pool = "workers = 1\nmax_requests = 1\n",
                         .global = "hook_timeout = 5m\non_worker_exit = echo x >> " + log +
                                   "; until [ -e " + go + " ]; do sleep 0.1; done\n"});
    for (int i = 0; i < 40; ++i)
        CHECK(server.serves());
    CHECK(hook_commands_of(server.pid()).size() == 8);
    CHECK(wait_for([&] { return lines_of(read_file(log)).size() == 8; }));
    write_file(go, "");
    CHECK(server.wait_log("commands of hooks were not started"));
    CHECK(count_of(server.log(), "on_worker_exit: not started, 8 commands") == 1);
    CHECK(wait_for([&] { return commands_have_gone(server); }));
}

TEST_CASE("hooks: many commands leave no zombie and no descriptor", "[hooks]")
{
    const TempDir place;
    const std::string log = place / "log";
    const Server server({.pool = "workers = 1\n", .global = "on_reload = echo x >> " + log + "\n"});
    const auto descriptors = open_descriptors(server.pid());
    write_file(server.configuration(), "nonsense\n");
    for (std::size_t i = 1; i <= 30; ++i) {
        server.signal(SIGHUP);
        REQUIRE(wait_for([&] { return lines_of(read_file(log)).size() == i; }));
    }
    CHECK(wait_for([&] { return commands_have_gone(server); }));
    CHECK(open_descriptors(server.pid()) == descriptors);
}

TEST_CASE("hooks: a command that fails is a warning with its exit status", "[hooks]")
{
    const Server server({.global = "on_ready = exit 3\non_reload = /no/such/program\n"});
    CHECK(server.wait_log("warning: on_ready: the command exited with status 3"));
    server.signal(SIGHUP);
    CHECK(server.wait_log("warning: on_reload: the command exited with status 127"));
    CHECK(server.serves());
}

TEST_CASE("hooks: what a command writes is in the error log also after USR1", "[hooks]")
{
    const TempDir place;
    const std::string log = place / "error";
    const Server server({.global = "error_log = " + log +
                                   "\non_ready = echo to stdout; echo to stderr >&2\n"
                                   "on_reload = echo after the rotation\n"});
    CHECK(wait_for([&] {
        const std::string text = read_file(log);
        return has_line(text, "to stdout") && has_line(text, "to stderr");
    }));
    REQUIRE(::rename(log.c_str(), (log + ".1").c_str()) == 0);
    server.signal(SIGUSR1);
    REQUIRE(wait_for([&] { return exists(log); }));
    server.signal(SIGHUP);
    CHECK(wait_for([&] { return has_line(read_file(log), "after the rotation"); }));
}

TEST_CASE("hooks: what a command leaves in its process group ends with it", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const Server server({.global = "on_ready = sleep 600 & " + note.written_by("echo $!") + "\n"});
    const pid_t left = note.wait_pid();
    CHECK(wait_for([&] { return !alive(left); }, soon));
}

TEST_CASE("hooks: a command does not outlive an arbiter that is killed", "[hooks]")
{
    const TempDir place;
    const Note note{place / "note"};
    const bool started_by_shell = GENERATE(false, true);
    Server server(
        {.global = "on_ready = " +
                   (started_by_shell ? "sleep 600 & " + note.written_by("echo $!") + "; wait"
                                     : note.written_by("echo $$") + "; exec sleep 600") +
                   "\n"});
    const pid_t command = note.wait_pid();
    server.leaves_socket();
    server.process().kill();
    CHECK(wait_for([&] { return !alive(command); }, Milliseconds{2000}));
}

TEST_CASE("hooks: a command that cannot be started is a warning", "[hooks]")
{
    if (!has_program("strace") || is_sanitized())
        SKIP_TEST("strace is not installed");
    const Server configured({.global = "on_ready = true\n"});
    // The second start of each process: the arbiter's first is the worker.
    Command command = failing("clone,clone3,vfork,fork",
                              "error=EAGAIN:when=2",
                              {"-c",
                               configured.configuration(),
                               "-b",
                               "unix:" + configured.directory() / "other",
                               "-w",
                               "1"});
    command.err = configured.directory() / "traced";
    Process process(command);
    CHECK(wait_for([&] {
        return read_file(command.err).find("on_ready: the command was not started: fork") !=
               std::string::npos;
    }));
    CHECK(ask("unix:" + configured.directory() / "other", configured.get("act", "text=x"))
              .complete());
    // strace does not hand signals on: it ends with its program.
    for (const pid_t pid : children_of(process.pid()))
        ::kill(pid, SIGTERM);
    CHECK(process.wait().has_value());
}
