// control_test.cc - the control socket against clients that are slow, silent or send too much.
#include "base/error.h"
#include "log/log.h"
#include "server/control.h"
#include "tests/unit/support.h"

#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

using Catch::Matchers::Contains;

namespace {

struct QuietLog {
    QuietLog() { logging::open({"/dev/null", false, logging::Level::info}); }
    QuietLog(const QuietLog&) = delete;
    QuietLog& operator=(const QuietLog&) = delete;
    ~QuietLog() { logging::open({}); }
};

// Notes what it is asked for; the reply is as large as one likes.
struct Recorder : server::Control::Actions {
    std::vector<control::Request> requests;
    std::string message = "done";

    control::Reply carry_out(const control::Request& request) override
    {
        requests.push_back(request);
        control::Reply reply;
        reply.message = message;
        return reply;
    }
};

struct Site {
    QuietLog quiet;
    unit::TempDir directory;
    std::string path = directory / "control";
    Recorder recorder;
    server::Control control{recorder};
    TimePoint now = Clock::now();

    Site() { control.use(path, control.prepare(path)); }

    std::size_t watched() const
    {
        std::vector<pollfd> set;
        control.watch(set, now);
        return set.size();
    }
};

class Peer {
public:
    explicit Peer(const std::string& path)
        : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        connected_ =
            ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    bool connected() const { return connected_; }
    bool send(const std::string& bytes) const
    {
        return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(bytes.size());
    }
    void half_close() const { ::shutdown(fd_.get(), SHUT_WR); }
    // What has come; sets closed() at its end.
    std::string receive()
    {
        std::string text;
        char bytes[65536];
        for (;;) {
            const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
            if (count > 0) {
                text.append(bytes, static_cast<std::size_t>(count));
                continue;
            }
            closed_ = count == 0 || errno != EAGAIN;
            return text;
        }
    }
    bool closed() const { return closed_; }

private:
    UniqueFd fd_;
    bool connected_ = false;
    bool closed_ = false;
};

const std::string done = "{\"message\":\"done\",\"ok\":true}\n";

}  // namespace

TEST_CASE("control: a request is carried out and answered and the connection closed", "[control]")
{
    Site site;
    Peer peer(site.path);
    REQUIRE(peer.send("scale www 3\nmore that nobody reads"));
    site.control.serve(site.now);
    CHECK(peer.receive() == done);
    CHECK(peer.closed());
    REQUIRE(site.recorder.requests.size() == 1);
    CHECK(site.recorder.requests[0].pool == "www");
    CHECK(site.watched() == 1);
}

TEST_CASE("control: a request may come in pieces", "[control]")
{
    Site site;
    Peer peer(site.path);
    for (const char* piece : {"rel", "oad", "\n"}) {
        site.control.serve(site.now);
        CHECK(site.recorder.requests.empty());
        REQUIRE(peer.send(piece));
    }
    site.control.serve(site.now);
    CHECK(peer.receive() == done);
}

TEST_CASE("control: a request that is wrong or too long is refused and not carried out",
          "[control]")
{
    Site site;
    const std::vector<std::pair<std::string, std::string>> wrong = {
        {"reboot\n", "is no command"},
        {"\n", "no command"},
        {std::string(300, ' ') + "stop\n", "too long"}};
    for (const auto& [request, reason] : wrong) {
        Peer peer(site.path);
        REQUIRE(peer.send(request));
        site.control.serve(site.now);
        site.control.serve(site.now);
        CHECK_THAT(peer.receive(), Contains("\"ok\":false") && Contains(reason));
        CHECK(peer.closed());
    }
    CHECK(site.recorder.requests.empty());
}

TEST_CASE("control: a client that sends without end is cut off", "[control]")
{
    Site site;
    Peer peer(site.path);
    REQUIRE(peer.send(std::string(100'000, 'x')));
    site.control.serve(site.now);
    CHECK_THAT(peer.receive(), Contains("too long"));
    CHECK(peer.closed());
    CHECK_FALSE(peer.send("x"));
}

TEST_CASE("control: a client that has gone costs nothing any more", "[control]")
{
    Site site;
    {
        const Peer peer(site.path);
        REQUIRE(peer.send("stat"));
    }
    const Peer half(site.path);
    half.half_close();
    site.control.serve(site.now);
    site.control.serve(site.now);
    CHECK(site.watched() == 1);
    CHECK(site.recorder.requests.empty());
}

TEST_CASE("control: a silent client is cut off after its time", "[control]")
{
    Site site;
    Peer peer(site.path);
    site.control.serve(site.now);
    CHECK(site.watched() == 2);
    site.control.serve(site.now + std::chrono::seconds(4));
    CHECK(site.watched() == 2);
    site.control.serve(site.now + std::chrono::seconds(6));
    CHECK(site.watched() == 1);
    peer.receive();
    CHECK(peer.closed());
}

TEST_CASE("control: a large reply waits for a client that reads it and for no other", "[control]")
{
    Site site;
    site.recorder.message = std::string(4'000'000, 'm');
    Peer slow(site.path);
    REQUIRE(slow.send("status\n"));
    Peer dead(site.path);
    REQUIRE(dead.send("status\n"));
    site.control.serve(site.now);
    std::string text = slow.receive();
    CHECK(text.size() < 4'000'000);
    for (int i = 0; i < 1'000 && !slow.closed(); ++i) {
        site.control.serve(site.now);
        text += slow.receive();
    }
    CHECK(text.size() > 4'000'000);
    CHECK(text.ends_with("}\n"));
    CHECK(site.watched() == 2);
    site.control.serve(site.now + std::chrono::seconds(6));
    CHECK(site.watched() == 1);
}

TEST_CASE("control: a reply that is too large is not sent", "[control]")
{
    Site site;
    site.recorder.message = std::string(20'000'000, 'm');
    Peer peer(site.path);
    REQUIRE(peer.send("status\n"));
    site.control.serve(site.now);
    CHECK_THAT(peer.receive(), Contains("\"ok\":false"));
}

TEST_CASE("control: many clients are answered by and by", "[control]")
{
    Site site;
    std::vector<Peer> silent;
    while (silent.size() < 100) {
        silent.emplace_back(site.path);
        if (!silent.back().connected())
            break;  // the queue is full
    }
    CHECK(silent.size() < 100);
    site.control.serve(site.now);
    // As many as are served, and nobody more is waited for.
    const std::size_t served = site.watched();
    CHECK(served <= 16);
    site.control.serve(site.now);
    CHECK(site.watched() == served);

    TimePoint late = site.now + std::chrono::seconds(6);
    site.control.serve(late);
    for (int i = 0; i < 5; ++i)
        site.control.serve(late += std::chrono::seconds(6));
    Peer peer(site.path);
    REQUIRE(peer.connected());
    REQUIRE(peer.send("status\n"));
    site.control.serve(late);
    CHECK(peer.receive() == done);
}

TEST_CASE("control: a process of another user is refused", "[control]")
{
    if (::geteuid() != 0)
        SKIP_TEST("needs root");
    Site site;
    REQUIRE(::chmod(site.path.c_str(), 0666) == 0);
    REQUIRE(::chmod((site.directory / "").c_str(), 0755) == 0);
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ::alarm(20);
        if (::setresuid(65534, 65534, 65534) != 0)
            ::_exit(1);
        Peer peer(site.path);
        peer.send("stop\n");
        if (!peer.connected() || ::write(ready[1], "x", 1) != 1)
            ::_exit(2);
        std::string text;
        while (!peer.closed())
            text += peer.receive();
        ::_exit(text.find("only root and the user") == std::string::npos ? 3 : 0);
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    site.control.serve(site.now);
    CHECK(site.watched() == 1);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
    CHECK(site.recorder.requests.empty());
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST_CASE("control: the socket is for its owner alone and goes with the server", "[control]")
{
    std::string path;
    unit::TempDir directory;
    {
        QuietLog quiet;
        Recorder recorder;
        server::Control control(recorder);
        path = directory / "control";
        control.use(path, control.prepare(path));
        struct stat status {};
        REQUIRE(::lstat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 07777) == 0600);
        CHECK(S_ISSOCK(status.st_mode));
    }
    CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("control: a path that is in use or cannot be made is refused", "[control]")
{
    Site site;
    Recorder recorder;
    server::Control other(recorder);
    CHECK_THROWS_WITH(other.prepare(site.path), Contains("control: another server is listening"));
    CHECK_THROWS_WITH(other.prepare(site.directory / "none/control"), Contains("control: "));
    CHECK(other.prepare("") == nullptr);
    CHECK(::access(site.path.c_str(), F_OK) == 0);
}

TEST_CASE("control: a server takes the socket over when its parent has ended", "[control]")
{
    const QuietLog quiet;
    const unit::TempDir directory;
    const std::string path = directory / "control";
    int pipe[2];
    REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
    // The parent is a server with a socket; its child gets the socket some time after the end.
    const int status = unit::in_child([&] {
        Recorder recorder;
        server::Control parent(recorder);
        parent.use(path, parent.prepare(path));
        const pid_t old = ::getpid();
        if (::fork() != 0) {
            char byte = 0;
            const bool told = ::read(pipe[0], &byte, 1) == 1;
            parent.use("", nullptr);
            return told && byte == 'w' ? 0 : 1;
        }
        ::alarm(20);
        server::Control child(recorder);
        const auto none = child.prepare(path);
        child.use(path, none);
        child.serve(Clock::now());
        if (::write(pipe[1], none ? "x" : "w", 1) != 1)
            ::_exit(1);
        while (::getppid() == old)
            ::usleep(1'000);
        child.retry_now();
        child.serve(Clock::now());
        Peer peer(path);
        peer.send("status\n");
        child.serve(Clock::now());
        const std::string text = peer.receive();
        ::_exit(::write(pipe[1], text.c_str(), text.size()) > 0 ? 0 : 1);
    });
    CHECK(status == 0);
    std::string text(100, '\0');
    const ssize_t count = ::read(pipe[0], text.data(), text.size());
    REQUIRE(count > 0);
    CHECK(text.substr(0, static_cast<std::size_t>(count)) == done);
    ::close(pipe[0]);
    ::close(pipe[1]);
}

TEST_CASE("control: the socket stays what it is unless its file is gone", "[control]")
{
    Site site;
    const auto same = site.control.prepare(site.path);
    CHECK(site.control.prepare(site.path) == same);
    REQUIRE(::unlink(site.path.c_str()) == 0);
    const auto fresh = site.control.prepare(site.path);
    CHECK(fresh != same);
    site.control.use(site.path, fresh);
    Peer peer(site.path);
    REQUIRE(peer.send("status\n"));
    site.control.serve(site.now);
    CHECK(peer.receive() == done);
}

TEST_CASE("control: a client that is being answered survives a change of the socket", "[control]")
{
    Site site;
    Peer peer(site.path);
    site.control.serve(site.now);
    const std::string elsewhere = site.directory / "other";
    site.control.use(elsewhere, site.control.prepare(elsewhere));
    CHECK(::access(site.path.c_str(), F_OK) != 0);
    REQUIRE(peer.send("status\n"));
    site.control.serve(site.now);
    CHECK(peer.receive() == done);
}
