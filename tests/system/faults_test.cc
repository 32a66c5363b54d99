// faults_test.cc - the machine beneath the server fails: clocks that jump, disks and pipes that are
// full, no descriptors, a pause of everything. What can go on goes on.
// Source   gunicorn #1305 (heartbeats and clocks); a disk full of logs as in CVE-2015-9253; frozen
//          containers and laptops that sleep.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/control.h"
#include "tests/system/support/server.h"
#include "tests/system/support/traffic.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

// A file system of its own for logs, as small as can be.
class SmallDisk {
public:
    SmallDisk()
        : mounted_(::mount("none", place_.path().c_str(), "tmpfs", 0, "size=32k,mode=0777") == 0)
    {
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk()
    {
        if (mounted_)
            ::umount2(place_.path().c_str(), MNT_DETACH);
    }
    bool mounted() const { return mounted_; }
    std::string operator/(std::string_view name) const { return place_ / name; }

    // Until not a byte fits any more.
    void fill() const
    {
        const int fd =
            ::open((place_ / "filling").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        const std::string block(4096, 'x');
        while (::write(fd, block.data(), block.size()) > 0)
            ;
        ::close(fd);
    }
    void empty() const { ::unlink((place_ / "filling").c_str()); }

private:
    TempDir place_;
    bool mounted_;
};

// A named pipe that is read only when the test says so.
struct NamedPipe {
    std::string path;
    int reader = -1;
    int writer = -1;

    explicit NamedPipe(const std::string& name) : path(name)
    {
        REQUIRE(::mkfifo(path.c_str(), 0666) == 0);
        REQUIRE(::chmod(path.c_str(), 0666) == 0);
        reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        writer = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    }
    NamedPipe(const NamedPipe&) = delete;
    NamedPipe& operator=(const NamedPipe&) = delete;
    ~NamedPipe()
    {
        ::close(reader);
        ::close(writer);
    }

    // Until not a byte fits any more.
    void fill() const
    {
        const int fd = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        for (const std::size_t size : {4096UL, 1UL})
            while (::write(fd, std::string(size, 'x').data(), size) > 0)
                ;
        ::close(fd);
    }
    // All that is there.
    std::string read() const
    {
        std::string all;
        char block[4096];
        for (ssize_t got = 0; (got = ::read(reader, block, sizeof block)) > 0;)
            all.append(block, static_cast<std::size_t>(got));
        return all;
    }
};

// A control group for this process and what it starts, with so much memory.
class SmallMemory {
public:
    explicit SmallMemory(const std::string& bytes)
    {
        std::ifstream file("/proc/self/cgroup");
        for (std::string line; std::getline(file, line) && path_.empty();) {
            if (const auto at = line.find(":memory:"); at != std::string::npos)
                enter(
                    "/sys/fs/cgroup/memory" + line.substr(at + 8), "memory.limit_in_bytes", bytes);
            else if (line.starts_with("0::"))
                enter("/sys/fs/cgroup" + line.substr(3), "memory.max", bytes);
        }
    }
    SmallMemory(const SmallMemory&) = delete;
    SmallMemory& operator=(const SmallMemory&) = delete;
    ~SmallMemory()
    {
        if (path_.empty())
            return;
        put(parent_ + "/cgroup.procs", std::to_string(::getpid()));
        CHECK(wait_for([&] { return ::rmdir(path_.c_str()) == 0; }));
    }
    bool entered() const { return !path_.empty(); }

private:
    static bool put(const std::string& path, const std::string& value)
    {
        std::ofstream file(path);
        return static_cast<bool>(file << value << std::flush);
    }
    void enter(const std::string& parent, const std::string& limit, const std::string& bytes)
    {
        const std::string path = parent + "/tricorn-test-" + std::to_string(::getpid());
        if (::mkdir(path.c_str(), 0755) != 0)
            return;
        if (put(path + "/" + limit, bytes) &&
            put(path + "/cgroup.procs", std::to_string(::getpid()))) {
            parent_ = parent;
            path_ = path;
        } else {
            ::rmdir(path.c_str());
        }
    }

    std::string parent_;
    std::string path_;
};

}  // namespace

TEST_CASE("faults: a pause of the whole server is no reason to abort a worker", "[faults]")
{
    const Server server({.pool = "workers = 2\ntimeout = 3s\n"});
    REQUIRE(server.serves());
    const auto workers = server.workers();
    FastcgiClient client(server.address());
    const std::string go = server.directory() / "go";
    client.send(server.get("act", "plain&out=begun&wait=" + encode(go) + "&out=done").bytes());
    REQUIRE(client.wait_for_output("begun"));
    ::kill(server.pid(), SIGSTOP);
    for (const pid_t worker : workers)
        ::kill(worker, SIGSTOP);
    pause_for(Milliseconds{5000});
    // The arbiter is the first to look around.
    ::kill(server.pid(), SIGCONT);
    REQUIRE(server.wait_log("stood still"));
    for (const pid_t worker : workers)
        ::kill(worker, SIGCONT);
    write_file(go, "");
    CHECK(client.wait_for_output("done"));
    pause_for(Milliseconds{3500});
    CHECK(server.workers() == workers);
    CHECK(server.serves());
    CHECK(count_of(server.log(), "aborting it") == 0);
}

TEST_CASE("faults: after a pause a worker that does hang is still found", "[faults]")
{
    const Server server({.pool = "workers = 1\ntimeout = 1s\n"});
    REQUIRE(server.serves());
    const pid_t worker = server.worker();
    ::kill(server.pid(), SIGSTOP);
    ::kill(worker, SIGSTOP);
    pause_for(Milliseconds{2500});
    ::kill(server.pid(), SIGCONT);
    CHECK(wait_for([&] { return !alive(worker); }));
    CHECK(server.wait_log("aborting it"));
    CHECK(wait_for([&] { return server.serves(); }));
}

TEST_CASE("faults: a wall clock that jumps by an hour disturbs nobody", "[faults]")
{
    if (is_sanitized())
        SKIP_TEST("a sanitizer must be the first library");
    const TempDir place;
    const std::string file = place / "offset";
    const auto jump = [&](std::int64_t seconds) {
        std::string bytes(sizeof seconds, '\0');
        std::memcpy(bytes.data(), &seconds, sizeof seconds);
        const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CHECK(::pwrite(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
        ::close(fd);
    };
    jump(0);
    give_to_pool(place.path());
    const std::string access = place / "access";
    const Server server({.pool = "workers = 2\ntimeout = 2s\naccess_log_format = %(t)s\n"
                                 "access_log = " +
                                 access + "\n",
                         .environment = {{"LD_PRELOAD", build_file("tests/modules/clock.so")},
                                         {"TEST_CLOCK", file},
                                         {"TZ", "UTC"}}});
    REQUIRE(server.serves());
    REQUIRE(server.wait_workers(2));
    const auto workers = server.workers();
    {
        Traffic traffic(server, 2);
        for (const std::int64_t seconds : {3600, -3600, 0, 36000000, 0}) {
            jump(seconds);
            // Beyond a round of the arbiter, and the longest sleep of a worker.
            pause_for(Milliseconds{1100});
            CHECK(traffic.wait_answered(5));
        }
        traffic.stop();
        INFO(traffic.losses());
        CHECK(traffic.lost() == 0);
        CHECK(traffic.failed() == 0);
    }
    CHECK(server.workers() == workers);
    CHECK(count_of(server.log(), "aborting it") == 0);
    CHECK(count_of(server.log(), "stood still") == 0);
    // The clock did jump: 36000000 seconds are more than a year.
    const std::string text = read_file(access);
    std::vector<std::string> years;
    for (auto at = text.find('['); at != std::string::npos; at = text.find('[', at + 1))
        years.push_back(text.substr(at + 8, 4));
    std::sort(years.begin(), years.end());
    REQUIRE(years.size() > 20);
    CHECK(years.front() < years.back());
}

TEST_CASE("faults: an arbiter without descriptors starts no worker and goes on", "[faults]")
{
    if (is_sanitized())
        SKIP_TEST("the sanitizer looks at memory through a pipe, and has no descriptors either");
    const Server server({.pool = "workers = 2\n", .limits = {{RLIMIT_NOFILE, 32}}});
    REQUIRE(server.serves());
    for (std::size_t i = 0; i < 40 && count_of(server.log(), "no new worker") == 0; ++i) {
        server.signal(SIGTTIN);
        wait_for([&] { return count_of(server.log(), "workers from now on") > i; });
    }
    REQUIRE(server.wait_log("no new worker"));
    const auto tries = count_of(server.log(), "no new worker");
    const long before = cpu_ticks(server.pid());
    pause_for(Milliseconds{1000});
    CHECK(count_of(server.log(), "no new worker") <= tries + 2);
    CHECK(cpu_ticks(server.pid()) - before < 20);
    CHECK(server.serves());
    // It is as good as before when there are some again.
    const auto workers = server.workers();
    ::kill(workers.front(), SIGTERM);
    CHECK(wait_for([&] { return !alive(workers.front()); }));
    CHECK(wait_for(
        [&] {
            const auto now = server.workers();
            return !now.empty() && now.back() != workers.back();
        },
        Milliseconds{20000}));
    CHECK(server.serves());
}

TEST_CASE("faults: a disk that is full costs lines of the logs and no request", "[faults]")
{
    const SmallDisk disk;
    if (!disk.mounted())
        SKIP_TEST("needs to mount a file system");
    const std::string access = disk / "access";
    const std::string error = disk / "error";
    const Server server(
        {.pool = "access_log = " + access + "\n", .global = "error_log = " + error + "\n"});
    REQUIRE(server.act("err=before%0a&text=x").status() == 200);
    disk.fill();
    for (int i = 0; i < 30; ++i)
        CHECK(server.act("err=" + std::string(400, 'l') + "%0a&text=x").status() == 200);
    const auto old = server.workers();
    server.signal(SIGHUP);
    CHECK(wait_for([&] {
        const auto now = server.workers();
        return now.size() == old.size() && now.front() != old.front() && server.serves();
    }));
    disk.empty();
    CHECK(wait_for([&] {
        server.act("err=afterwards%0a&text=x");
        return read_file(error).find("afterwards") != std::string::npos &&
               read_file(access).find("err=afterwards") != std::string::npos;
    }));
    // The workers that lost lines have gone; the arbiter lost those of the reload.
    server.signal(SIGTTIN);
    CHECK(wait_for([&] {
        return count_of(read_file(error), "of this log lost: No space left on device") > 0;
    }));
}

TEST_CASE("faults: a limit on the size of files ends no server and no worker", "[faults]")
{
    const TempDir directory;
    const std::string log = directory / "error.log";
    Server server({.global = "error_log = " + log + "\n", .limits = {{RLIMIT_FSIZE, 4096}}});
    REQUIRE(server.wait_workers(2));
    const auto workers = server.workers();
    for (int i = 0; i < 60; ++i)
        CHECK(server.act("err=" + std::string(400, 'l') + "%0a&text=x").status() == 200);
    for (int i = 0; i < 10; ++i)
        server.signal(SIGUSR1);
    CHECK(server.serves());
    CHECK(server.process().running());
    CHECK(server.workers() == workers);
    CHECK(std::filesystem::file_size(log) == 4096);
}

TEST_CASE("faults: logs that nobody reads cost lines and no request", "[faults]")
{
    // Standard output and error, as of a container, and files that are pipes.
    const bool standard = GENERATE(true, false);
    CAPTURE(standard);
    const TempDir place;
    const NamedPipe access(place / "access");
    const NamedPipe error(place / "error");
    give_to_pool(place.path());
    const Server server(
        {.pool = standard ? "access_log = -\n" : "access_log = " + access.path + "\n",
         .global = "log_level = debug\n" + (standard ? "" : "error_log = " + error.path + "\n"),
         .descriptors = standard ? std::map<int, int>{{1, access.writer}, {2, error.writer}}
                                 : std::map<int, int>{}});
    // More than a pipe can hold.
    for (int i = 0; i < 40; ++i)
        CHECK(server.act("err=" + std::string(4000, 'l') + "%0a&text=x").status() == 200);
    const Stopwatch watch;
    for (int i = 0; i < 20; ++i)
        CHECK(server.serves());
    CHECK(watch.elapsed() < Milliseconds{4000});
    error.read();
    // Whoever has lost lines says so with the next one, and that need not be the first to write.
    std::string seen;
    CHECK(wait_for([&] {
        server.act("err=afterwards%0a&text=x");
        seen += error.read();
        return seen.find("afterwards") != std::string::npos &&
               seen.find("of this log lost: Resource temporarily unavailable") != std::string::npos;
    }));
    access.read();
}

TEST_CASE("faults: a worker that makes a log that nobody reads blocking holds up nobody else",
          "[faults]")
{
    const TempDir place;
    const NamedPipe error(place / "error");
    const Server server({.pool = "workers = 2\n",
                         .global = "error_log = " + error.path + "\n" + with_control,
                         .more = "[vandal]\nbind = unix:vandal\nworkers = 1\nhandler = module\n"
                                 "module = " +
                                 public_file("tests/modules/vandal.so") + "\n" + user_line(),
                         .wait = false});
    REQUIRE(wait_for([&] { return exists(server.directory() / "vandal"); }));
    const std::string vandal = "unix:" + server.directory() / "vandal";
    CHECK(ask(vandal, server.get("", "00")).body() == "filled 1\n");
    error.fill();
    // The arbiter has much to say.
    for (int i = 0; i < 20; ++i)
        CHECK(ctl(server, {"reload"}).status == ExitStatus{0, 0});
    CHECK(server.serves());
    // A new worker of the vandal is all right again, its listener does not block.
    CHECK(ask(vandal, server.get("", "00")).body() == "filled 1\n");
}

TEST_CASE("faults: a worker that the kernel kills for want of memory is told from others",
          "[faults]")
{
    if (is_sanitized())
        SKIP_TEST("a sanitizer needs more memory");
    const SmallMemory memory("64M");
    if (!memory.entered())
        SKIP_TEST("needs a control group with a limit of memory");
    const Server server({.pool = "workers = 1\nhandler = module\nmodule = " +
                                 public_file("tests/modules/actor.so") + "\n"});
    const pid_t worker = server.worker();
    CHECK_FALSE(server.ask(server.get("act", "gorge")).complete());
    CHECK(server.wait_log("worker " + std::to_string(worker) +
                          " was killed by SIGKILL (Killed), not by the arbiter: out of memory "
                          "while it served GET /act?gorge"));
    REQUIRE(server.wait_workers(1));
    CHECK(server.act("text=well").status() == 200);
    // Seconds later a kill is somebody else's.
    CHECK(wait_for(
        [&] {
            ::kill(server.worker(), SIGKILL);
            pause_for(Milliseconds{500});
            return server.log().find("was killed by SIGKILL (Killed), not by the arbiter, nor for "
                                     "want of memory") != std::string::npos;
        },
        Milliseconds{20'000}));
    CHECK(server.wait_workers(1));
}
