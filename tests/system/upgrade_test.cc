// upgrade_test.cc - USR2 starts a new server beside the old one; either of the two may go.
// Source   gunicorn reexec and maybe_promote_master; nginx and unicorn upgrades.
#include "tests/catch.h"
#include "tests/system/support/control.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/notify_socket.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr Milliseconds soon{8000};

// A server with a pid file, and the new one that USR2 has started.
struct Upgrade {
    TempDir directory;
    std::string path = directory / "tricorn.pid";
    Server server{{.global = "pid = " + path + "\n"}};
    pid_t fresh = 0;

    Upgrade()
    {
        REQUIRE(server.wait_workers(2));
        server.signal(SIGUSR2);
        REQUIRE(wait_for([&] { return pid_in(path + ".2") != 0; }, soon));
        fresh = pid_in(path + ".2");
        REQUIRE(wait_for([&] { return children_of(fresh).size() == 2; }, soon));
    }
};

// A server whose upgrade brings one that is not ready before release().
struct SlowUpgrade {
    TempDir directory;
    std::string path = directory / "tricorn.pid";
    SlowModule module;
    Server server{{.global = "pid = " + path + "\n", .environment = module.environment()}};
    pid_t fresh = 0;

    SlowUpgrade()
    {
        server.configure({.pool = module.pool(), .global = "pid = " + path + "\n"});
        server.signal(SIGUSR2);
        REQUIRE(wait_for([&] { return pid_in(path + ".2") != 0; }, soon));
        fresh = pid_in(path + ".2");
    }
    void release() const { module.release(); }
    bool fresh_serves() const
    {
        return wait_for([&] { return server.ask(server.get("act")).body() == "at last"; }, soon);
    }
    void end() const
    {
        ::kill(fresh, SIGTERM);
        CHECK(wait_for([] { return adopted().empty(); }, soon));
    }
};

constexpr const char* not_yet = "is not ready yet: this one stops when it is, or has ended";

// A server that is the first process of a container.
class Contained {
public:
    Contained()
    {
        if (!is_root() || !has_program("unshare")) {
            obstacle_ = "needs root and unshare";
            return;
        }
        Command trial;
        trial.arguments = {"unshare", "--pid", "--fork", "--mount-proc", "true"};
        const Finished tried = run(trial);
        if (tried.status != ExitStatus{0, 0}) {
            obstacle_ = "no process namespaces here: " + tried.err;
            return;
        }
        process_.emplace(command());
        require_logged("ready");
    }

    // Why there is none; empty: it is ready.
    const std::string& obstacle() const { return obstacle_; }
    Process& process() { return *process_; }
    pid_t first() const { return children_of(process_->pid()).at(0); }
    std::string address() const { return "unix:" + path; }
    bool serves() const { return configured.serves_at(address()); }
    std::string log() const { return read_file(directory / "log"); }
    bool logged(const std::string& text, std::size_t times = 1) const
    {
        return wait_for([&] { return count_of(log(), text) >= times; }, soon);
    }
    void require_logged(const std::string& text, std::size_t times = 1) const
    {
        const bool found = logged(text, times);
        INFO(log());
        CAPTURE(text, times);
        REQUIRE(found);
    }
    // From now on another server serves than the first process. Answers that one.
    pid_t pass_on() const
    {
        ::kill(first(), SIGUSR2);
        require_logged("ready, beside the old server");
        ::kill(first(), SIGTERM);
        require_logged("process 1 stays");
        return children_of(first()).at(0);
    }

    // The server that serves gives way to another one, by TERM to one of the processes, but has a
    // request until release().
    void drain_with(FastcgiClient& client, pid_t told) const
    {
        client.send(
            configured.get("act", "plain&out=begun&wait=" + encode(go_) + "&out=done").bytes());
        REQUIRE(client.wait_for_output("begun"));
        const std::size_t before = count_of(log(), "leaving it to the new server");
        ::kill(first(), SIGUSR2);
        require_logged("ready, beside the old server", before + 1);
        ::kill(told, SIGTERM);
        require_logged("leaving it to the new server", before + 1);
    }
    void release() const { write_file(go_, ""); }
    // Cleanly, with all its servers.
    void check_ended()
    {
        CHECK(process_->wait(soon) == ExitStatus{0, 0});
        INFO(log());
        CHECK_FALSE(exists(path));
    }

    const TempDir directory;
    const SlowModule module;
    Server configured;
    const std::string path = directory / "contained";
    const std::string control = directory / "control";

private:
    Command command() const
    {
        Command command;
        command.arguments = {"unshare",
                             "--pid",
                             "--fork",
                             "--mount-proc",
                             "--kill-child",
                             binary(),
                             "-c",
                             configured.configuration(),
                             "-b",
                             address(),
                             "--set",
                             "control=" + control};
        command.environment = module.environment();
        command.err = directory / "log";
        return command;
    }

    const std::string go_ = directory / "go";
    std::string obstacle_;
    std::optional<Process> process_;
};

// Has been sent to the process, which has not taken it yet.
bool is_pending(pid_t pid, int signo)
{
    const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
    const std::size_t at = status.find("ShdPnd:");
    return at != std::string::npos &&
           (std::stoull(status.substr(at + 7), nullptr, 16) >> (signo - 1) & 1) != 0;
}

// The process that a text names behind these words.
pid_t pid_after(const std::string& text, const std::string& words)
{
    return std::stoi(text.substr(text.find(words) + words.size()));
}

// Sockets that a process has open.
std::size_t sockets_of(pid_t pid)
{
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        std::error_code gone;
        const auto target = std::filesystem::read_symlink(entry, gone);
        count += target.native().starts_with("socket:") ? 1U : 0U;
    }
    return count;
}

}  // namespace

TEST_CASE("upgrade: the new server serves when the old one has stopped", "[upgrade]")
{
    Upgrade upgrade;
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
    upgrade.server.signal(SIGUSR2);
    ::kill(upgrade.fresh, SIGUSR2);
    CHECK(wait_for([&] { return count_of(upgrade.server.log(), "no upgrade: ") == 2; }));
    CHECK(pid_in(upgrade.path + ".2") == upgrade.fresh);
    CHECK(upgrade.server.serves());
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([&] { return !alive(upgrade.fresh); }, soon));
}

TEST_CASE("upgrade: another one while two servers run is refused and the log says why", "[upgrade]")
{
    Server server;
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(client.wait_for_output("begun"));
    server.signal(SIGUSR2);
    REQUIRE(server.wait_log("ready, beside the old server", soon));
    const pid_t fresh = pid_after(server.log(), "the new server is process ");
    server.signal(SIGUSR2);
    CHECK(server.wait_log("no upgrade: the new server, process " + std::to_string(fresh)));
    ::kill(fresh, SIGUSR2);
    CHECK(server.wait_log("no upgrade: the old server, process " + std::to_string(server.pid()) +
                          ", is still there"));
    server.signal(SIGTERM);
    REQUIRE(server.wait_log("leaving it to the new server"));
    ::kill(fresh, SIGUSR2);
    CHECK(server.wait_log("has not finished its requests yet"));
    write_file(go, "");
    CHECK(client.wait_for_output("done"));
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
    CHECK(server.serves());
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: the next one can begin as soon as the old server has gone", "[upgrade]")
{
    Upgrade upgrade;
    REQUIRE(upgrade.server.wait_log("is ready", soon));
    ::kill(upgrade.fresh, SIGSTOP);  // it learns of all that follows at once
    REQUIRE(wait_for([&] { return state_of(upgrade.fresh) == 'T'; }, soon));
    CHECK(upgrade.server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    ::kill(upgrade.fresh, SIGUSR2);
    ::kill(upgrade.fresh, SIGCONT);
    REQUIRE(wait_for(
        [&] { return count_of(upgrade.server.log(), "ready, beside the old server") == 2; }, soon));
    const pid_t third = pid_in(upgrade.path + ".2");
    ::kill(third, SIGTERM);
    CHECK(wait_for([&] { return !alive(third); }, soon));
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: a new server that cannot start leaves the old one as it was", "[upgrade]")
{
    Server server;
    REQUIRE(server.wait_workers(2));
    write_file(server.configuration(), "nonsense\n");
    server.signal(SIGUSR2);
    CHECK(wait_for(
        [&] { return server.log().find(server.configuration() + ":1") != std::string::npos; }));
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

TEST_CASE("upgrade: a new server goes on when the old one is killed", "[upgrade]")
{
    Upgrade upgrade;
    upgrade.server.leaves_socket();
    upgrade.server.process().kill();
    CHECK(wait_for([&] { return pid_in(upgrade.path) == upgrade.fresh; }, soon));
    CHECK(upgrade.server.serves());
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
    CHECK_FALSE(exists(upgrade.server.socket()));
}

TEST_CASE("upgrade: it can be taken back after the old workers have gone", "[upgrade]")
{
    Upgrade upgrade;
    upgrade.server.signal(SIGWINCH);
    CHECK(wait_for([&] { return children_of(upgrade.server.pid()).size() == 1; }, soon));
    CHECK(upgrade.server.serves());  // by the new one
    upgrade.server.signal(SIGHUP);
    CHECK(wait_for([&] { return children_of(upgrade.server.pid()).size() == 3; }, soon));
    ::kill(upgrade.fresh, SIGQUIT);
    CHECK(wait_for([&] { return !alive(upgrade.fresh); }, soon));
    CHECK(upgrade.server.serves());
    // And then another one.
    upgrade.server.signal(SIGUSR2);
    REQUIRE(wait_for([&] { return pid_in(upgrade.path + ".2") != 0; }, soon));
    upgrade.fresh = pid_in(upgrade.path + ".2");
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([&] { return !alive(upgrade.fresh); }, soon));
}

TEST_CASE("upgrade: a new server that dies leaves no outage behind", "[upgrade]")
{
    Upgrade upgrade;
    upgrade.server.signal(SIGWINCH);
    CHECK(wait_for([&] { return children_of(upgrade.server.pid()).size() == 1; }, soon));
    const auto lost = children_of(upgrade.fresh);
    ::kill(upgrade.fresh, SIGKILL);
    // For a moment these may still accept a connection.
    CHECK(wait_for([&] { return std::none_of(lost.begin(), lost.end(), alive); }, soon));
    CHECK(upgrade.server.wait_workers(2, soon));
    CHECK(upgrade.server.serves());
}

TEST_CASE("upgrade: a socket file that was lost meanwhile comes back by a reload", "[upgrade]")
{
    Upgrade upgrade;
    REQUIRE(::unlink(upgrade.server.socket().c_str()) == 0);
    CHECK(upgrade.server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK(wait_for([&] { return pid_in(upgrade.path) == upgrade.fresh; }, soon));
    ::kill(upgrade.fresh, SIGHUP);
    CHECK(
        wait_for([&] { return exists(upgrade.server.socket()) && upgrade.server.serves(); }, soon));
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: a socket that only the old server has goes with it", "[upgrade]")
{
    Upgrade upgrade;
    const std::string more = upgrade.server.directory() / "more";
    const std::string global = "pid = " + upgrade.path + "\n";
    upgrade.server.configure({.pool = "bind = unix:" + more + "\n", .global = global});
    upgrade.server.signal(SIGHUP);
    REQUIRE(
        wait_for([&] { return exists(more) && upgrade.server.serves_at("unix:" + more); }, soon));
    upgrade.server.configure({.global = global});
    CHECK(upgrade.server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK_FALSE(exists(more));
    CHECK(upgrade.server.serves());
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: a socket that the old server gave up goes when the upgrade is taken back",
          "[upgrade]")
{
    Upgrade upgrade;
    const std::string more = upgrade.server.directory() / "more";
    upgrade.server.configure(
        {.pool = "bind = unix:" + more + "\n", .global = "pid = " + upgrade.path + "\n"});
    upgrade.server.signal(SIGHUP);
    REQUIRE(
        wait_for([&] { return exists(more) && upgrade.server.serves_at("unix:" + more); }, soon));
    CHECK(upgrade.server.serves());  // by the new one, which has it still
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([&] { return !exists(upgrade.server.socket()); }, soon));
    CHECK(upgrade.server.serves_at("unix:" + more));
}

TEST_CASE("upgrade: the new configuration's mode of the socket holds at the end", "[upgrade]")
{
    Upgrade upgrade;
    const auto mode = [&] {
        struct stat status {};
        ::stat(upgrade.server.socket().c_str(), &status);
        return status.st_mode & 0777;
    };
    ::kill(upgrade.fresh, SIGTERM);
    REQUIRE(wait_for([&] { return !alive(upgrade.fresh); }, soon));
    upgrade.server.configure(
        {.pool = "listen_mode = 0600\n", .global = "pid = " + upgrade.path + "\n"});
    upgrade.server.signal(SIGUSR2);
    INFO(upgrade.server.log());
    REQUIRE(wait_for([&] { return pid_in(upgrade.path + ".2") != 0; }, soon));
    upgrade.fresh = pid_in(upgrade.path + ".2");
    CHECK(wait_for([&] { return children_of(upgrade.fresh).size() == 2; }, soon));
    CHECK(upgrade.server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK(wait_for([&] { return mode() == 0600; }, soon));
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: a request that runs over it is finished by the old server", "[upgrade]")
{
    Upgrade upgrade;
    const std::string go = upgrade.directory / "go";
    FastcgiClient client(upgrade.server.address());
    // Whoever takes it, old or new: both must let it end.
    client.send(
        upgrade.server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(client.wait_for_output("begun"));
    upgrade.server.signal(SIGTERM);
    CHECK(wait_for([&] { return upgrade.server.serves(); }));
    write_file(go, "");
    CHECK(client.wait_for_output("done"));
    CHECK(upgrade.server.process().wait(soon) == ExitStatus{0, 0});
    ::kill(upgrade.fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: the service manager is told of the new process and of no stop", "[upgrade]")
{
    if (!knows_service_manager)
        SKIP_TEST("built without libsystemd");
    NotifySocket manager;
    Server server({.environment = {{"NOTIFY_SOCKET", manager.path()}}});
    REQUIRE(manager.wait("READY=1"));
    server.signal(SIGUSR2);
    REQUIRE(server.wait_log("ready, beside the old server", soon));
    const auto children = children_of(server.pid());
    pid_t fresh = 0;
    for (const pid_t child : children)
        if (!children_of(child).empty())
            fresh = child;
    REQUIRE(fresh != 0);
    manager.forget();
    CHECK(server.stop(SIGTERM, soon) == ExitStatus{0, 0});
    CHECK(manager.wait("MAINPID=" + std::to_string(fresh)));
    CHECK(manager.wait("READY=1"));
    CHECK(manager.seen().find("STOPPING=1") == std::string::npos);
    ::kill(fresh, SIGTERM);
    CHECK(manager.wait("STOPPING=1"));
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: the new server reports to the service manager while the old one drains",
          "[upgrade]")
{
    if (!knows_service_manager)
        SKIP_TEST("built without libsystemd");
    NotifySocket manager;
    Server server(
        {.environment = {{"NOTIFY_SOCKET", manager.path()}, {"WATCHDOG_USEC", "400000"}}});
    REQUIRE(manager.wait("READY=1"));
    const std::string go = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go)).bytes());
    REQUIRE(client.wait_for_output("begun"));
    server.signal(SIGUSR2);
    REQUIRE(server.wait_log("ready, beside the old server", soon));
    server.signal(SIGTERM);
    REQUIRE(manager.wait_from(server.pid(), "MAINPID="));
    const pid_t fresh = pid_after(manager.seen(), "MAINPID=");
    // The new one is the main process now: it alone is listened to.
    CHECK(manager.wait_from(fresh, "READY=1"));
    manager.forget();
    const auto signs = [&] { return count_of(manager.seen(), "WATCHDOG=1"); };
    CHECK(wait_for([&] { return signs() >= 4; }));
    CHECK_FALSE(manager.heard_from(server.pid()));
    write_file(go, "");
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: TERM is carried out when the new server is ready", "[upgrade]")
{
    SlowUpgrade upgrade;
    upgrade.server.signal(SIGTERM);
    REQUIRE(upgrade.server.wait_log(
        "the new server, process " + std::to_string(upgrade.fresh) + ", " + not_yet, soon));
    CHECK(upgrade.server.workers().size() == 3);  // with the new server
    CHECK(upgrade.server.serves());
    upgrade.server.signal(SIGUSR2);
    CHECK(upgrade.server.wait_log("no upgrade: the server is stopping"));
    upgrade.release();
    CHECK(upgrade.server.process().wait(soon) == ExitStatus{0, 0});
    CHECK(upgrade.server.wait_log("stopping as told: the new server is ready"));
    CHECK(upgrade.fresh_serves());
    CHECK(wait_for([&] { return pid_in(upgrade.path) == upgrade.fresh; }, soon));
    upgrade.end();
}

TEST_CASE("upgrade: TERM is carried out when the new server has ended instead", "[upgrade]")
{
    SlowUpgrade upgrade;
    upgrade.server.signal(SIGTERM);
    REQUIRE(upgrade.server.wait_log(not_yet, soon));
    ::kill(upgrade.fresh, SIGKILL);
    CHECK(upgrade.server.process().wait(soon) == ExitStatus{0, 0});
    CHECK(upgrade.server.wait_log("stopping as told: the new server has ended"));
    CHECK_FALSE(exists(upgrade.server.socket()));
    CHECK_FALSE(exists(upgrade.path));
    upgrade.release();  // what was its worker has to see its end
    CHECK(wait_for([] { return adopted().empty(); }, soon));
}

TEST_CASE("upgrade: a second TERM, and QUIT, do not wait for the new server", "[upgrade]")
{
    const int signo = GENERATE(SIGTERM, SIGQUIT);
    SlowUpgrade upgrade;
    if (signo == SIGTERM) {
        upgrade.server.signal(SIGTERM);
        REQUIRE(upgrade.server.wait_log(not_yet, soon));
    }
    CHECK(upgrade.server.stop(signo, soon) == ExitStatus{0, 0});
    CHECK(wait_for([&] { return pid_in(upgrade.path) == upgrade.fresh; }, soon));
    upgrade.release();
    CHECK(upgrade.fresh_serves());
    upgrade.end();
}

TEST_CASE("upgrade: an old server that does not listen is followed nonetheless", "[upgrade]")
{
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    Server server({.environment = {{"TRICORN_UPGRADE", std::to_string(::getppid()) + ":5"}},
                   .descriptors = {{5, ends[0]}}});
    ::close(ends[0]);
    CHECK(server.wait_log("ready, beside the old server"));
    ::close(ends[1]);
    CHECK(server.wait_log("the old server has gone"));
    server.leaves_socket();  // it was the old server's
    CHECK(server.serves());
}

TEST_CASE("upgrade: a daemon is followed by a daemon", "[upgrade]")
{
    const TempDir directory;
    const std::string pid_file = directory / "pid";
    const Server configured({.pool = "bind = unix:" + directory / "other" + "\n", .wait = false});
    REQUIRE(configured.wait_log("info: ready"));  // or it could not be stopped yet
    const Finished started = tricorn({"-D",
                                      "-c",
                                      configured.configuration(),
                                      "-p",
                                      pid_file,
                                      "--error-logfile",
                                      directory / "log",
                                      "--set",
                                      "control=",
                                      "--set",
                                      "www.bind=unix:" + directory / "daemon"});
    REQUIRE(started.status == ExitStatus{0, 0});
    const auto serves = [&] { return configured.serves_at("unix:" + directory / "daemon"); };
    const pid_t old = pid_in(pid_file);
    REQUIRE(serves());
    ::kill(old, SIGUSR2);
    REQUIRE(wait_for([&] { return pid_in(pid_file + ".2") != 0; }, soon));
    const pid_t fresh = pid_in(pid_file + ".2");
    REQUIRE(wait_for([&] { return children_of(fresh).size() == 2; }, soon));
    ::kill(old, SIGTERM);
    CHECK(wait_for([&] { return pid_in(pid_file) == fresh; }, soon));
    CHECK(serves());
    ::kill(fresh, SIGTERM);
    CHECK(wait_for([&] { return !alive(fresh) && !alive(old); }, soon));
    CHECK_FALSE(exists(directory / "daemon"));
}

TEST_CASE("upgrade: an activated socket is handed on and stays", "[upgrade]")
{
    if (!has_program("systemd-socket-activate"))
        SKIP_TEST("systemd-socket-activate is not installed");
    const TempDir directory;
    const Server configured;
    const std::string path = directory / "activated";
    Command command = activated(path, {"-c", configured.configuration(), "-b", "unix:" + path});
    command.err = directory / "log";
    Process process(command);
    REQUIRE(wait_for([&] { return exists(path); }));
    const auto serves = [&] { return configured.serves_at("unix:" + path); };
    REQUIRE(serves());
    process.signal(SIGUSR2);
    const auto logged = [&](const std::string& text) {
        return read_file(directory / "log").find(text) != std::string::npos;
    };
    REQUIRE(wait_for([&] { return logged("ready, beside the old server"); }, soon));
    process.signal(SIGTERM);
    CHECK(process.wait(soon) == ExitStatus{0, 0});
    CHECK(serves());
    CHECK(exists(path));
    for (const pid_t left : adopted())
        ::kill(left, SIGTERM);
    CHECK(wait_for([] { return adopted().empty(); }, soon));
    CHECK(exists(path));
}

TEST_CASE("upgrade: the first process of a container stays and hands signals on", "[upgrade]")
{
    Contained server;
    if (!server.obstacle().empty())
        SKIP_TEST(server.obstacle());
    REQUIRE(server.serves());
    REQUIRE(children_of(server.process().pid()).size() == 1);
    const pid_t first = server.first();
    const pid_t second = server.pass_on();
    CHECK(server.serves());
    CHECK(alive(first));
    CHECK(sockets_of(first) == 0);
    // Another one, of the server that has taken over.
    ::kill(first, SIGUSR2);
    CHECK(wait_for([&] { return children_of(second).size() == 3; }, soon));
    ::kill(first, SIGTERM);
    server.require_logged("the old server has gone", 2);
    CHECK(server.serves());
    ::kill(first, SIGTERM);
    server.check_ended();
}

TEST_CASE("upgrade: tricornctl completes an upgrade in a container", "[upgrade]")
{
    Contained server;
    if (!server.obstacle().empty())
        SKIP_TEST(server.obstacle());
    for (int i = 0; i < 2; ++i)  // of the first process, and of one that is not
        for (const char* command : {"upgrade", "stop", "status"})
            CHECK(tricornctl({"-t", "20s", "-s", server.control, command}).status ==
                  ExitStatus{0, 0});
    CHECK(server.serves());
    CHECK(tricornctl({"-s", server.control, "stop"}).status == ExitStatus{0, 0});
    CHECK(server.process().wait(soon) == ExitStatus{0, 0});
    CHECK_FALSE(exists(server.control));
}

TEST_CASE("upgrade: a second TERM to a container is for the server that takes over", "[upgrade]")
{
    Contained server;
    if (!server.obstacle().empty())
        SKIP_TEST(server.obstacle());
    const bool first_drains = GENERATE(true, false);
    CAPTURE(first_drains);
    if (!first_drains)
        server.pass_on();
    FastcgiClient client(server.address());
    server.drain_with(client, server.first());
    ::kill(server.first(), SIGTERM);
    server.require_logged("no server is left when this one has stopped");
    server.release();
    CHECK(client.wait_for_output("done"));
    server.check_ended();
}

TEST_CASE("upgrade: a TERM to a container is not lost with the server that drains", "[upgrade]")
{
    Contained server;
    if (!server.obstacle().empty())
        SKIP_TEST(server.obstacle());
    const pid_t second = server.pass_on();
    FastcgiClient client(server.address());
    server.drain_with(client, GENERATE(true, false) ? server.first() : second);
    ::kill(second, SIGSTOP);
    REQUIRE(wait_for([&] { return state_of(second) == 'T'; }, soon));
    ::kill(server.first(), SIGTERM);
    REQUIRE(wait_for([&] { return is_pending(second, SIGTERM); }, soon));
    ::kill(second, SIGKILL);
    server.check_ended();
}

TEST_CASE("upgrade: TERM twice to a container leaves a new server that is not ready", "[upgrade]")
{
    Contained server;
    if (!server.obstacle().empty())
        SKIP_TEST(server.obstacle());
    const pid_t second = server.pass_on();
    server.configured.configure({.pool = server.module.pool()});
    ::kill(server.first(), SIGUSR2);
    server.require_logged("the new server is process", 2);
    ::kill(server.first(), SIGTERM);
    server.require_logged(not_yet);
    ::kill(server.first(), SIGTERM);
    CHECK(wait_for([&] { return !alive(second); }, soon));
    server.module.release();
    server.require_logged("the old server has gone", 2);
    CHECK(wait_for(
        [&] { return ask(server.address(), server.configured.get("act")).body() == "at last"; },
        soon));
    ::kill(server.first(), SIGTERM);
    server.check_ended();
}
