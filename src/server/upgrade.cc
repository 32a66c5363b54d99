#include "server/upgrade.h"

#include "base/clock.h"
#include "base/error.h"
#include "log/log.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace server {

namespace {

// PROCESS:LINE:REPORT, two descriptors. Versions that have no report read as far as the line.
constexpr const char* variable = "TRICORN_UPGRADE";
constexpr int first_handed = 3;  // SD_LISTEN_FDS_START

// Copies the descriptors to 3 and up, without close-on-exec. All are moved out of the way first.
bool place(std::vector<int> fds)
{
    const int above = first_handed + static_cast<int>(fds.size());
    for (int& fd : fds) {
        fd = ::fcntl(fd, F_DUPFD_CLOEXEC, above);
        if (fd < 0)
            return false;
    }
    int place = first_handed;
    for (const int fd : fds)
        if (::dup2(fd, place++) < 0)
            return false;
    return true;
}

void set(const char* name, const std::string& value)
{
    ::setenv(name, value.c_str(), 1);
}

std::optional<int> take_number(std::string_view& text)
{
    int number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc() || number < 0)
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    return number;
}

std::string read_whole(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// The ":DESCRIPTOR" that comes next, if that is a pipe.
UniqueFd take_pipe(std::string_view& text)
{
    if (!text.starts_with(':'))
        return UniqueFd();
    text.remove_prefix(1);
    const auto fd = take_number(text);
    struct stat status {};
    if (!fd || ::fstat(*fd, &status) != 0 || !S_ISFIFO(status.st_mode) ||
        ::fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
        return UniqueFd();
    return UniqueFd(*fd);
}

std::string title_of(pid_t pid)
{
    return read_whole("/proc/" + std::to_string(pid) + "/cmdline");
}

// A process that ends has no title any more.
bool is_stopping(pid_t pid)
{
    const std::string title = title_of(pid);
    return title.empty() || title.starts_with(stopping_title);
}

// By its title; before it has one it still has the environment that it was started with.
bool is_server(pid_t pid)
{
    const std::string process = "/proc/" + std::to_string(pid);
    struct stat status {};
    // A program of a pool may call itself anything.
    if (::stat(process.c_str(), &status) != 0 || status.st_uid != ::geteuid())
        return false;
    return title_of(pid).starts_with(arbiter_title) ||
           read_whole(process + "/environ").find(std::string(variable) + "=") != std::string::npos;
}

// As EXIT STATUS in tricorn(8).
const char* reason_of(const ExitStatus& status)
{
    if (status.signalled)
        return "";
    switch (status.code) {
    case exit_worker_boot: return ": a worker failed to boot";
    case exit_handler_load: return ": a handler failed to load";
    case exit_usage: return ": wrong usage";
    case exit_config: return ": wrong configuration";
    default: return "";
    }
}

// A child of this process that is a server; 0: there is none. One that is in the middle of
// execve(2) cannot be told from others for a moment.
pid_t find_server()
{
    constexpr int tries = 100;
    constexpr Duration pause{10};
    for (int i = 0; i < tries; ++i) {
        std::istringstream children(read_whole("/proc/thread-self/children"));
        pid_t child = 0;
        while (children >> child)
            if (is_server(child))
                return child;
        if (child == 0)
            break;
        std::this_thread::sleep_for(pause);
    }
    return 0;
}

}  // namespace

bool in_container()
{
    return ::getpid() == 1 || is_server(1);
}

// --- in the old server --------------------------------------------------------------------------

void Successor::start(const config::Invocation& invocation,
                      const std::vector<HandedSocket>& sockets,
                      bool daemon)
{
    Pipe line;
    Pipe report;
    if (!open_pipe(line, O_NONBLOCK) || !open_pipe(report, O_NONBLOCK))
        throw_errno("pipe");
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno("fork");
    if (pid == 0) {
        if (const int log = logging::descriptor(); daemon && log >= 0)
            ::dup2(log, STDERR_FILENO);
        become(invocation, sockets, line.read.get(), report.write.get());
    }
    pid_ = pid;
    ready_ = false;
    last_end_.clear();
    line_ = std::move(line.write);
    report_ = std::move(report.read);
}

void Successor::become(const config::Invocation& invocation,
                       const std::vector<HandedSocket>& sockets,
                       int line,
                       int report) const
{
    std::vector<int> fds;
    std::string names;
    for (const HandedSocket& socket : sockets) {
        fds.push_back(socket.fd);
        names += (names.empty() ? "" : ":") + socket.name;
    }
    fds.push_back(line);
    fds.push_back(report);
    // The log stays where it can be written to, above the places of the sockets.
    if (const int log = logging::descriptor(); log >= first_handed)
        logging::adopt(
            UniqueFd(::fcntl(log, F_DUPFD_CLOEXEC, first_handed + static_cast<int>(fds.size()))));
    reset_signals();  // it need not be tricorn itself: a shell script keeps what is blocked
    const bool placed = place(fds);
    const std::string self = std::to_string(::getpid());
    set("LISTEN_PID", self);
    set("LISTEN_FDS", std::to_string(sockets.size()));
    set("LISTEN_FDNAMES", names);
    if (std::getenv("WATCHDOG_PID") != nullptr)
        set("WATCHDOG_PID", self);
    const int behind = first_handed + static_cast<int>(sockets.size());
    set(variable,
        std::to_string(::getppid()) + ":" + std::to_string(behind) + ":" +
            std::to_string(behind + 1));

    std::vector<char*> argv{const_cast<char*>(invocation.program.c_str())};
    for (const std::string& word : invocation.words)
        argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const bool there = ::chdir(invocation.directory.c_str()) == 0;
    if (placed && there)
        ::execvp(argv[0], argv.data());
    logging::error("cannot start the new server, %s: %s",
                   there ? argv[0] : invocation.directory.c_str(),
                   errno_text(errno).c_str());
    ::_exit(exit_failure);
}

void Successor::listen()
{
    if (!report_)
        return;
    char word = 0;
    const ssize_t count = ::read(report_.get(), &word, 1);
    if (count < 0)
        return;
    report_.reset();  // closed without a word: how it has ended is for the reaper
    if (count == 0)
        return;
    ready_ = true;
    logging::info("the new server, process %d, is ready", pid_);
}

void Successor::tell_main()
{
    if (::write(line_.get(), "!", 1) < 0)
        logging::debug("the new server does not listen: %s", errno_text(errno).c_str());
}

bool Successor::ended(pid_t pid, const ExitStatus& status)
{
    if (pid != pid_)
        return false;
    last_end_ = "process " + std::to_string(pid) + " " + describe(status) + reason_of(status);
    logging::write(status.clean() ? logging::Level::info : logging::Level::error,
                   "the new server has ended: " + last_end_);
    pid_ = 0;
    ready_ = false;
    line_.reset();
    report_.reset();
    return true;
}

int Successor::mind(SignalQueue& signals)
{
    logging::info("process 1 stays for process %d and hands signals on", pid_);
    line_.reset();
    report_.reset();
    for (;;) {
        pollfd entry{signals.fd(), POLLIN, 0};
        ::poll(&entry, 1, -1);
        std::vector<int> to_hand_on;
        while (const auto signal = signals.next())
            to_hand_on.push_back(signal->number);
        if (const auto exit_code = reap_servers())
            return *exit_code;
        // Only now: the server that they were for may have given way to another one.
        for (const int signo : to_hand_on)
            hand_on(signo);
    }
}

void Successor::hand_on(int signo)
{
    if (signo == SIGCHLD)
        return;
    if (signo == SIGTERM && is_stopping(pid_))
        stop_next_ = true;
    ::kill(pid_, signo);
}

// Answers the exit code of the last server when there is none any more.
std::optional<int> Successor::reap_servers()
{
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid != pid_)
            continue;
        pid_ = find_server();
        if (pid_ == 0)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        // The one that has ended may have passed it on, or was too far gone for that.
        if (std::exchange(stop_next_, false))
            hand_on(SIGTERM);
    }
    return std::nullopt;
}

// --- in the new server --------------------------------------------------------------------------

Predecessor Predecessor::find()
{
    Predecessor found;
    const char* const value = std::getenv(variable);
    if (value == nullptr)
        return found;
    std::string_view text = value;
    const auto pid = take_number(text);
    // The old server may have ended meanwhile: then its end of the line is closed already.
    if (UniqueFd line = take_pipe(text); pid && line) {
        found.pid_ = *pid;
        found.line_ = std::move(line);
        found.report_ = take_pipe(text);
        if (const char* const socket = std::getenv("NOTIFY_SOCKET"))
            found.notify_socket_ = socket;
        ::unsetenv("NOTIFY_SOCKET");
    }
    ::unsetenv(variable);
    return found;
}

Predecessor::News Predecessor::listen()
{
    pollfd entry{line_.get(), POLLIN, 0};
    if (!exists() || ::poll(&entry, 1, 0) <= 0)
        return News::none;
    char word = 0;
    if (::read(line_.get(), &word, 1) <= 0)
        return News::gone;
    take_notify_socket();
    return News::gave_way;
}

bool Predecessor::goes_on() const
{
    return exists() && !is_stopping(pid_);
}

void Predecessor::tell_ready()
{
    if (report_ && ::write(report_.get(), "!", 1) < 0)
        logging::debug("the old server does not listen: %s", errno_text(errno).c_str());
    report_.reset();
}

void Predecessor::forget()
{
    pid_ = 0;
    line_.reset();
    report_.reset();
    take_notify_socket();
}

void Predecessor::take_notify_socket()
{
    if (notify_socket_)
        set("NOTIFY_SOCKET", *notify_socket_);
    notify_socket_.reset();
}

}  // namespace server
