// syscalls_test.cc - system calls that fail now and then: replies are right, or say that they are
// not, no worker dies of it, and all is well when they work again.
// Source   accept(2), clone(2), pipe(2) ... under ERRORS; strace(1) makes them fail.
#include "tests/catch.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

// strace on processes, and on what they start until that is another program, as long as this lives.
class Tampering {
public:
    Tampering(const Server& server,
              const std::vector<pid_t>& processes,
              const std::string& calls,
              const std::string& how)
        : processes_(processes), log_(server.directory() / "strace"), trace_(log_ + ".trace")
    {
        ::unlink(log_.c_str());
        Command command;
        command.arguments = {"strace",
                             "-f",
                             "-b",
                             "execve",
                             "-o",
                             trace_,
                             "-e",
                             "trace=" + calls,
                             "-e",
                             "inject=" + calls + ":" + how};
        command.err = log_;
        for (const pid_t pid : processes) {
            command.arguments.emplace_back("-p");
            command.arguments.push_back(std::to_string(pid));
        }
        process_.emplace(command);
        REQUIRE(wait_for([&] {
            const std::string text = read_file(log_);
            return std::all_of(processes.begin(), processes.end(), [&](pid_t pid) {
                return text.find("Process " + std::to_string(pid) + " attached") !=
                       std::string::npos;
            });
        }));
    }
    Tampering(const Tampering&) = delete;
    Tampering& operator=(const Tampering&) = delete;
    // A call that strace lets go of in the middle fails with ENOSYS: not before all are asleep.
    ~Tampering()
    {
        int quiet = 0;
        CHECK(wait_for([&] {
            const bool asleep = std::none_of(processes_.begin(), processes_.end(), [](pid_t pid) {
                return alive(pid) && state_of(pid) != 'S';
            });
            quiet = asleep ? quiet + 1 : 0;
            return quiet > 10;
        }));
        process_->signal(SIGINT);
        CHECK(process_->wait().has_value());
        CHECK(read_file(trace_).find("(INJECTED)") != std::string::npos);
    }

private:
    std::vector<pid_t> processes_;
    std::string log_;
    std::string trace_;
    std::optional<Process> process_;
};

struct Tally {
    int right = 0;
    int refused = 0;  // 5xx, or a reply that says that it is not whole
    int closed = 0;   // without an answer
    int wrong = 0;
};

void ask(const Server& server, int number, Tally& tally)
{
    const std::string text = "answer" + std::to_string(number);
    std::string expected = text;
    Request request = server.get("act", "text=" + text);
    if (number % 3 == 1) {
        expected.insert(0, 30000, 'b');
        request = server.post("act", "plain&echo&out=" + text, std::string(30000, 'b'));
    }
    FastcgiClient client(server.address());
    const std::string bytes = request.bytes();
    // In pieces: a worker turns to others meanwhile.
    if (number % 3 == 2)
        client.send_pieces(bytes, bytes.size() / 2, Milliseconds{20});
    else
        client.send(bytes);
    const Reply reply = client.read_reply(1, Milliseconds{8000});
    if (reply.end == End::invalid || (reply.complete() && reply.status() >= 500))
        ++tally.refused;
    else if (reply.end == End::closed || reply.end == End::reset)
        ++tally.closed;
    else if (reply.complete() && reply.status() == 200 && reply.body() == expected)
        ++tally.right;
    else
        ++tally.wrong;
}

struct Fault {
    const char* calls;
    const char* how;  // when=1+2: the first call of each process, and every second after that
    bool closes;      // a connection may be lost
    bool refuses;     // a request may fail
};

}  // namespace

TEST_CASE("system calls: those that fail now and then cost no worker and no wrong reply",
          "[faults]")
{
    if (!has_program("strace") || !is_root() || is_sanitized())
        SKIP_TEST("needs strace and root");
    const Fault fault = GENERATE(values<Fault>({
        {"accept4", "error=EMFILE:when=2+6", true, false},
        {"accept4", "error=ECONNABORTED:when=1+2", false, false},
        {"accept4", "error=EINTR:when=1+2", false, false},
        {"pipe2", "error=EMFILE:when=2+5", false, true},
        {"clone,clone3,vfork,fork", "error=EAGAIN:when=1+2", false, true},
        {"execve,execveat", "error=ENOMEM:when=1+2", false, true},
        {"execve,execveat", "error=ETXTBSY:when=1+2", false, true},
        {"openat2", "error=EAGAIN:when=1+3", false, false},
        {"openat2", "error=EMFILE:when=1+3", false, true},
        {"close_range", "error=ENOSYS", false, false},
        {"epoll_wait,poll", "error=EINTR:when=1+2", false, false},
        {"epoll_ctl", "error=ENOMEM:when=1+2", true, false},
        {"recvfrom,recvmsg,read", "error=EINTR:when=1+3", false, false},
        {"sendto,sendmsg", "error=EAGAIN:when=1+2", false, false},
        {"sendto,sendmsg", "error=EPIPE:when=1+3", true, true},
        {"write", "error=EINTR:when=1+2", false, false},
        {"fcntl", "error=EMFILE:when=1+3", false, true},
        {"setpgid,prctl", "error=EPERM:when=1+3", false, true},
        {"waitid", "error=EINTR:when=1+2", false, false},
    }));
    CAPTURE(fault.calls, fault.how);
    const Server server({.pool = "access_log = /dev/null\n"});
    REQUIRE(server.serves());
    const auto workers = server.workers();
    Tally tally;
    {
        auto all = workers;
        all.push_back(server.pid());
        const Tampering tampering(server, all, fault.calls, fault.how);
        for (int i = 0; i < 12; ++i)
            ask(server, i, tally);
    }
    INFO(server.log());
    CAPTURE(tally.right, tally.refused, tally.closed, tally.wrong);
    CHECK(tally.wrong == 0);
    CHECK((fault.closes || tally.closed == 0));
    CHECK((fault.refuses || tally.refused == 0));
    CHECK(server.workers() == workers);
    for (int i = 0; i < 4; ++i)
        CHECK(server.serves());
}

TEST_CASE("system calls: a reload while they fail costs nothing and succeeds when they work again",
          "[faults]")
{
    if (!has_program("strace") || !is_root() || is_sanitized())
        SKIP_TEST("needs strace and root");
    const auto [calls, how] = GENERATE(table<const char*, const char*>({
        {"clone,clone3,fork,vfork", "error=EAGAIN"},
        {"socketpair", "error=EMFILE"},
        {"mmap", "error=ENOMEM"},
        {"open,openat", "error=ENFILE"},
        {"signalfd4", "error=EMFILE"},
        {"epoll_create1", "error=ENOMEM"},
        {"setresuid,setresgid,setgroups", "error=EAGAIN"},
        {"prctl", "error=EINVAL"},
        {"kill", "error=EPERM:when=1"},
    }));
    CAPTURE(calls, how);
    const Server server;
    REQUIRE(server.serves());
    REQUIRE(server.wait_workers(2));
    const auto old = server.workers();
    Tally tally;
    {
        const Tampering tampering(server, {server.pid()}, calls, how);
        server.signal(SIGHUP);
        REQUIRE(server.wait_log("received SIGHUP"));
        const Stopwatch watch;
        for (int i = 0; watch.elapsed() < Milliseconds{500}; ++i)
            ask(server, i, tally);
    }
    INFO(server.log());
    CHECK(tally.right > 0);
    CHECK(tally.refused + tally.closed + tally.wrong == 0);
    CHECK(server.serves());
    server.signal(SIGHUP);
    CHECK(wait_for(
        [&] {
            const auto now = server.workers();
            return now.size() == 2 && std::none_of(now.begin(), now.end(), [&](pid_t pid) {
                       return std::find(old.begin(), old.end(), pid) != old.end();
                   });
        },
        Milliseconds{20000}));
    CHECK(server.serves());
}
