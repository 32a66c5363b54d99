#include "server/hooks.h"

#include "base/daemon.h"
#include "base/error.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "log/log.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace server {

namespace {

constexpr std::size_t max_running = 8;

// TERM to KILL, and KILL to giving up on a process that not even that ends.
constexpr Duration grace{1'000};

// What a quick stop leaves to commands: as much as to workers.
constexpr Duration last_chance{2'000};

// Nothing of the server's own environment: it may hold what concerns the server alone, such as
// NOTIFY_SOCKET, and commands shall not depend on how it was started.
constexpr const char* path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The error log when that is a file, else the server's stderr.
int output(const config::Global& global)
{
    const bool file = !global.log_syslog && global.error_log != "-";
    return file ? logging::descriptor() : STDERR_FILENO;
}

// What the arbiter's death is told by; commands do not use it.
const int arbiter_died = SIGRTMIN;

[[noreturn]] void run(const char* command, char* const* environment) noexcept
{
    reset_signals();
    const char* const arguments[] = {"/bin/sh", "-c", command, nullptr};
    ::execve(arguments[0], const_cast<char* const*>(arguments), environment);
    ::_exit(127);  // as a shell that cannot find the command
}

// Ends as the command has.
[[noreturn]] void end_as(int status) noexcept
{
    if (WIFSIGNALED(status)) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        reset_signals();
        ::kill(::getpid(), WTERMSIG(status));
    }
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// Waits for the command. All signals are blocked: those that end the group are for the command.
[[noreturn]] void keep(pid_t command) noexcept
{
    sigset_t awaited;
    ::sigemptyset(&awaited);
    ::sigaddset(&awaited, SIGCHLD);
    ::sigaddset(&awaited, arbiter_died);
    for (;;) {
        if (::sigwaitinfo(&awaited, nullptr) == arbiter_died)
            ::kill(0, SIGKILL);
        int status = 0;
        if (::waitpid(command, &status, WNOHANG) == command)
            end_as(status);
    }
}

// The keeper of a command leads its process group, and ends the group when the arbiter is killed:
// the kernel tells of that only children of the arbiter, not what a command has started.
[[noreturn]] void run_kept(const char* command,
                           char* const* environment,
                           int out,
                           pid_t arbiter) noexcept
{
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::setpgid(0, 0);
    redirect_to_null(STDIN_FILENO);
    if (!follow_parent(arbiter, arbiter_died) || ::dup2(out, STDOUT_FILENO) != STDOUT_FILENO ||
        ::dup2(out, STDERR_FILENO) != STDERR_FILENO || ::chdir("/") != 0)
        ::_exit(127);
    close_descriptors(STDERR_FILENO + 1, UINT_MAX);
    const pid_t pid = ::fork();
    if (pid < 0)
        ::_exit(127);
    if (pid == 0)
        run(command, environment);
    keep(pid);
}

}  // namespace

// --- events -------------------------------------------------------------------------------------

void Hooks::configure(const config::Global& global)
{
    global_ = global;
}

void Hooks::ready()
{
    if (served_)
        start(Event::reload, {"TRICORN_RELOAD=ok"});
    else
        start(Event::ready, {});
    served_ = true;
}

void Hooks::reload_failed()
{
    start(Event::reload, {"TRICORN_RELOAD=failed"});
}

// Nothing of the request that the worker had: a client has chosen that.
void Hooks::worker_exited(const std::string& pool,
                          pid_t pid,
                          std::uint64_t requests,
                          const ExitStatus& status)
{
    const std::string code = std::to_string(status.code);
    start(Event::worker_exit,
          {"TRICORN_POOL=" + pool,
           "TRICORN_WORKER_PID=" + std::to_string(pid),
           "TRICORN_WORKER_REQUESTS=" + std::to_string(requests),
           "TRICORN_EXIT_STATUS=" + (status.signalled ? std::string() : code),
           "TRICORN_EXIT_SIGNAL=" + (status.signalled ? signal_name(status.code) : std::string())});
}

void Hooks::stop(bool graceful, bool other_serves)
{
    if (stop_ == Stop::no)
        stop_ = served_ && !other_serves && start(Event::stop, {}) ? Stop::runs : Stop::over;
    if (!graceful)
        hurry(Clock::now());
}

const char* Hooks::key(Event event)
{
    switch (event) {
    case Event::ready: return "on_ready";
    case Event::reload: return "on_reload";
    case Event::worker_exit: return "on_worker_exit";
    case Event::stop: break;
    }
    return "on_stop";
}

const std::string& Hooks::command(Event event) const
{
    switch (event) {
    case Event::ready: return global_.on_ready;
    case Event::reload: return global_.on_reload;
    case Event::worker_exit: return global_.on_worker_exit;
    case Event::stop: break;
    }
    return global_.on_stop;
}

// --- starting -----------------------------------------------------------------------------------

// True when the command runs. fork and not vfork: the arbiter does not wait for a slow exec.
bool Hooks::start(Event event, const Variables& more)
{
    const std::string& line = command(event);
    if (line.empty() || !has_room(event))
        return false;
    const pid_t arbiter = ::getpid();
    // "on_ready" is the event "ready".
    Variables variables{path,
                        std::string("TRICORN_EVENT=") + (key(event) + 3),
                        "TRICORN_PID=" + std::to_string(arbiter)};
    variables.insert(variables.end(), more.begin(), more.end());
    std::vector<char*> environment;
    for (std::string& variable : variables)
        environment.push_back(variable.data());
    environment.push_back(nullptr);

    const pid_t pid = ::fork();
    if (pid == 0) {
        set_process_title(std::string("tricorn: ") + key(event));
        run_kept(line.c_str(), environment.data(), output(global_), arbiter);
    }
    if (pid < 0) {
        logging::warning(
            "%s: the command was not started: fork: %s", key(event), errno_text(errno).c_str());
        return false;
    }
    ::setpgid(pid, pid);  // also here: the group has to exist when it is signalled
    running_.push_back({event, pid, Clock::now() + limit()});
    logging::debug("%s: the command was started, process %d", key(event), pid);
    return true;
}

// on_stop always has: it is the last one, and only one.
bool Hooks::has_room(Event event)
{
    if (event == Event::stop || running_.size() < max_running)
        return true;
    if (dropped_++ == 0)
        logging::warning("%s: not started, %zu commands run already; others are dropped as well",
                         key(event),
                         running_.size());
    return false;
}

void Hooks::report_dropped()
{
    if (dropped_ == 0 || running_.size() > max_running / 2)
        return;
    logging::warning("%llu commands of hooks were not started",
                     static_cast<unsigned long long>(dropped_));
    dropped_ = 0;
}

Duration Hooks::limit() const
{
    return hurried_ ? std::min(last_chance, global_.hook_timeout) : global_.hook_timeout;
}

// --- ending -------------------------------------------------------------------------------------

void Hooks::hurry(TimePoint now)
{
    const TimePoint soon = hurried_ ? now : now + last_chance;
    for (Running& hook : running_)
        hook.deadline = std::min(hook.deadline, soon);
    hurried_ = true;
}

void Hooks::tend(TimePoint now)
{
    std::erase_if(running_, [&](Running& hook) { return now >= hook.deadline && end(hook, now); });
}

// One step further; true when there is none. The number is still the command's, it is not reaped.
bool Hooks::end(Running& hook, TimePoint now)
{
    switch (hook.phase) {
    case Phase::runs:
        logging::warning("%s: %s, process %d: ending it",
                         key(hook.event),
                         hurried_ ? "the server ends, and the command runs still"
                                  : "the command has run for too long",
                         hook.pid);
        ::kill(-hook.pid, SIGTERM);
        hook.phase = Phase::told;
        break;
    case Phase::told:
        ::kill(-hook.pid, SIGKILL);
        hook.phase = Phase::killed;
        break;
    case Phase::killed:
        logging::warning("%s: process %d cannot be killed", key(hook.event), hook.pid);
        if (hook.event == Event::stop)
            stop_ = Stop::over;
        return true;
    }
    hook.deadline = now + grace;
    return false;
}

TimePoint Hooks::next_deadline() const
{
    TimePoint first = never;
    for (const Running& hook : running_)
        first = std::min(first, hook.deadline);
    return first;
}

bool Hooks::ended(pid_t pid, const ExitStatus& status)
{
    const auto hook = std::find_if(
        running_.begin(), running_.end(), [pid](const Running& it) { return it.pid == pid; });
    if (hook == running_.end())
        return false;
    ::kill(-pid, SIGKILL);  // what it has left in its process group
    if (status.clean())
        logging::debug("%s: the command has ended", key(hook->event));
    else
        logging::warning("%s: the command %s", key(hook->event), describe(status).c_str());
    if (hook->event == Event::stop)
        stop_ = Stop::over;
    running_.erase(hook);
    report_dropped();
    return true;
}

}  // namespace server
