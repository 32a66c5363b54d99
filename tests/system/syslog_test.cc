// syslog_test.cc - logs that go to syslog, and a syslogd that hangs, ends, or is not there.
// Source   RFC 3164; syslog(3), which waits for a syslogd that does not read.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <csignal>
#include <cstring>
#include <regex>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr const char* no_privilege = "needs to mount a file system";

// A /dev that only this process and its children have, for as long as this process lives: there the
// test is syslogd.
bool make_own_dev()
{
    const TempDir place;
    const std::string& path = place.path();
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", path.c_str(), "tmpfs", 0, "mode=0755") != 0)
        return false;
    for (const std::string name : {"null", "zero", "full", "random", "urandom"}) {
        write_file(path + "/" + name, "");
        if (::mount(("/dev/" + name).c_str(), (path + "/" + name).c_str(), nullptr, MS_BIND, "") !=
            0)
            return false;
    }
    const bool bound = ::mount(path.c_str(), "/dev", nullptr, MS_BIND | MS_REC, nullptr) == 0;
    ::umount2(path.c_str(), MNT_DETACH);
    return bound;
}

class Syslogd {
public:
    explicit Syslogd(std::string path = "/dev/log") : path_(std::move(path)) { start(); }
    Syslogd(const Syslogd&) = delete;
    Syslogd& operator=(const Syslogd&) = delete;
    ~Syslogd() { stop(); }

    void start()
    {
        fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const sockaddr_un address = where();
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::chmod(path_.c_str(), 0666) == 0);
    }
    void stop()
    {
        if (fd_ >= 0)
            ::close(fd_);
        fd_ = -1;
        ::unlink(path_.c_str());
    }
    // Until the queue takes no more.
    void fill() const
    {
        const int sender = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const sockaddr_un address = where();
        REQUIRE(::connect(sender, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0);
        while (::send(sender, "x", 1, 0) == 1)
            ;
        ::close(sender);
    }
    // What has come, a line each, filling left out.
    std::string take()
    {
        char message[8192];
        for (ssize_t got = 0; (got = ::recv(fd_, message, sizeof message, 0)) >= 0;)
            if (got > 1) {
                const std::string text(message, static_cast<std::size_t>(got));
                CHECK(text.find('\n') == std::string::npos);  // a message each
                taken_ += text + "\n";
            }
        return taken_;
    }
    bool wait_for_line(const std::string& pattern)
    {
        return wait_for([&] { return std::regex_search(take(), std::regex(pattern)); });
    }

private:
    sockaddr_un where() const
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        return address;
    }

    const std::string path_;
    int fd_ = -1;
    std::string taken_;
};

const Setup to_syslog{.pool = "access_log = syslog\nworkers = 1\n", .global = "log_syslog = yes\n"};

std::string access_line(const std::string& query)
{
    return "(^|\n)<30>[A-Z][a-z]{2} [ 1-3][0-9] \\d\\d:\\d\\d:\\d\\d tricorn\\[\\d+\\]: "
           ".*GET /act\\?" +
           query;
}

}  // namespace

TEST_CASE("syslog: both logs get there with priority and time and process", "[log]")
{
    if (!make_own_dev())
        SKIP_TEST(no_privilege);
    Syslogd syslogd;
    const Server server(to_syslog);
    CHECK(server.act("plain&first").status() == 200);
    CHECK(syslogd.wait_for_line(access_line("plain&first")));
    CHECK(syslogd.wait_for_line("(^|\n)<30>[A-Z][a-z]{2} [ 1-3][0-9] [0-9:]{8} tricorn\\[" +
                                std::to_string(server.pid()) + "\\]: ready\n"));
    ::kill(server.worker(), SIGSEGV);
    CHECK(syslogd.wait_for_line("(^|\n)<27>.*was killed by SIGSEGV"));
    CHECK(server.log().empty());
}

TEST_CASE("syslog: one that does not read costs lines and no request", "[log]")
{
    if (!make_own_dev())
        SKIP_TEST(no_privilege);
    Syslogd syslogd;
    const Server server(to_syslog);
    REQUIRE(syslogd.wait_for_line(": ready\n"));
    syslogd.fill();
    for (int i = 0; i < 20; ++i)
        CHECK(server.act("plain").status() == 200);
    syslogd.take();
    CHECK(server.act("plain&later").status() == 200);
    CHECK(syslogd.wait_for_line(access_line("plain&later")));
    CHECK(syslogd.wait_for_line("the access log \\(/dev/log\\) works again; lines lost: \\d+"));
    syslogd.fill();
    server.signal(SIGTTIN);  // the arbiter has something to say, too
    CHECK(server.wait_workers(2));
    CHECK(server.serves());
    syslogd.take();
    server.signal(SIGTTOU);
    CHECK(syslogd.wait_for_line("\\d+ lines of this log lost: Resource temporarily unavailable"));
}

TEST_CASE("syslog: one that is started anew gets the lines that come later", "[log]")
{
    if (!make_own_dev())
        SKIP_TEST(no_privilege);
    Syslogd syslogd;
    const Server server(to_syslog);
    REQUIRE(syslogd.wait_for_line(": ready\n"));
    syslogd.stop();
    CHECK(server.act("plain&unheard").status() == 200);
    syslogd.start();
    CHECK(server.act("plain&heard").status() == 200);
    CHECK(syslogd.wait_for_line(access_line("plain&heard")));
    server.signal(SIGTTIN);
    CHECK(syslogd.wait_for_line("2 workers from now on"));
}

TEST_CASE("syslog: a server that starts without it says so and serves", "[log]")
{
    if (!make_own_dev())
        SKIP_TEST(no_privilege);
    const Server server(to_syslog);
    CHECK(server.wait_log("cannot reach syslog, lines are lost until it is there: /dev/log: No "
                          "such file or directory"));
    CHECK(server.act("plain").status() == 200);
    Syslogd syslogd;
    CHECK(server.act("plain&late").status() == 200);
    CHECK(syslogd.wait_for_line(access_line("plain&late")));
}

TEST_CASE("syslog: a worker in a chroot hears of one that was started anew by USR1", "[log]")
{
    if (!make_own_dev())
        SKIP_TEST(no_privilege);
    Syslogd syslogd;
    Setup setup = to_syslog;
    const TempDir jail;
    ::chmod(jail.path().c_str(), 0755);
    setup.pool += "chroot = " + jail.path() + "\nroot = /\n";
    const Server server(setup);
    // There is nothing in the chroot, but every request is logged.
    CHECK(server.act("first").status() == 404);
    CHECK(syslogd.wait_for_line(access_line("first")));
    syslogd.stop();
    syslogd.start();
    server.signal(SIGUSR1);
    CHECK(wait_for([&] {
        return server.act("second").status() == 404 &&
               std::regex_search(syslogd.take(), std::regex(access_line("second")));
    }));
}
