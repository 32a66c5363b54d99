#include "handler/cgi/child.h"

#include "base/error.h"
#include "base/signals.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

// The child runs on its own stack in our address space, which the sanitizers do not expect.
#define NO_SANITIZE __attribute__((no_sanitize("address", "undefined", "thread")))

namespace cgi {

namespace {

constexpr std::size_t stack_size = 64 << 10;

// What a program reads that gets no body. A chroot may have no /dev/null.
UniqueFd open_nothing()
{
    UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Pipe empty;
    return null || !open_pipe(empty) ? std::move(null) : std::move(empty.read);
}

bool set_nonblocking(const UniqueFd& fd)
{
    return ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0;
}

// All that the child needs, made before it exists: between clone and exec nothing allocates.
struct Exec {
    const char* path;
    int file;
    int directory;
    bool interpreted;
    char* const* argv;
    char* const* envp;
    int fds[3];
    const Spawner::Limit* limits;
    std::size_t limit_count;
    pid_t parent;
    int error;  // written by the child, in memory that the two share
};

NO_SANITIZE bool prepare(const Exec& exec)
{
    // A process group is enough, and a session would cost: see leave_terminal().
    if (::setpgid(0, 0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return false;
    if (::getppid() != exec.parent) {
        errno = ESRCH;  // the worker died before it could be watched
        return false;
    }
    for (int i = 0; i < 3; ++i)
        if (::dup2(exec.fds[i], i) < 0)
            return false;
    // Everything is born O_CLOEXEC; this is the second net. An old kernel without it has the first.
    ::close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    if (::fchdir(exec.directory) != 0)
        return false;
    for (std::size_t i = 0; i < exec.limit_count; ++i) {
        const rlimit limit{exec.limits[i].value, exec.limits[i].value};
        if (::setrlimit(exec.limits[i].resource, &limit) != 0)
            return false;
    }
    // What workers ignore would stay so across exec.
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    for (const int signo : write_signals)
        if (::sigaction(signo, &action, nullptr) != 0)
            return false;
    sigset_t none;
    ::sigemptyset(&none);
    return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

NO_SANITIZE int run_child(void* argument)
{
    Exec& exec = *static_cast<Exec*>(argument);
    if (prepare(exec)) {
        // What was checked is what runs. An interpreter must be given a name that it can open.
        if (exec.interpreted)
            ::execve(exec.path, exec.argv, exec.envp);
        else
            ::execveat(exec.file, "", exec.argv, exec.envp, AT_EMPTY_PATH);
        // binfmt_misc(5) hands a name to an interpreter, too.
        if (!exec.interpreted && errno == ENOENT)
            ::execve(exec.path, exec.argv, exec.envp);
    }
    exec.error = errno;
    ::_exit(127);
}

}  // namespace

Child::Child(Child&& other) noexcept
    : input(std::move(other.input)), output(std::move(other.output)),
      errors(std::move(other.errors)), pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_))
{
}

Child::~Child()
{
    if (pid_ <= 0)
        return;
    signal(SIGKILL);
    // A killed process that does not end (stuck in the kernel) is left to the worker's next
    // waitpid(2): waiting here could take for ever.
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd()), &info, WEXITED | WNOHANG);
}

void Child::signal(int signo) const noexcept
{
    ::kill(-pid_, signo);
    // It may have joined another group, which must not get the signal: the worker's, for example.
    if (::getpgid(pid_) != pid_)
        ::kill(pid_, signo);
}

std::optional<ExitStatus> Child::exit_status() const noexcept
{
    siginfo_t info{};
    const int options = WEXITED | WNOHANG | WNOWAIT;
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd()), &info, options) != 0 || info.si_pid == 0)
        return std::nullopt;
    return ExitStatus{info.si_code != CLD_EXITED, info.si_status};
}

Spawner::Spawner(const config::ResourceLimits& limits)
    : nothing_(open_nothing()), stack_(::mmap(nullptr,
                                              stack_size,
                                              PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                                              -1,
                                              0))
{
    if (!nothing_)
        throw_errno("/dev/null");
    if (stack_ == MAP_FAILED)
        throw_errno("stack for new programs");
    for (const config::ResourceLimit& limit : config::resource_limits)
        if (const auto& value = limits.*limit.value)
            limits_.push_back({limit.resource, *value});
}

Spawner::~Spawner()
{
    ::munmap(stack_, stack_size);
}

Result<Child, int> Spawner::spawn(const Script& script, const Environment& environment, bool body)
{
    Pipe in;
    Pipe out;
    Pipe err;
    if ((body && (!open_pipe(in) || !set_nonblocking(in.write))) || !open_pipe(out) ||
        !open_pipe(err) || !set_nonblocking(out.read) || !set_nonblocking(err.read))
        return errno;

    char* const argv[] = {const_cast<char*>(script.path.c_str()), nullptr};
    Exec exec{script.path.c_str(),
              script.file.get(),
              script.directory.get(),
              script.interpreted,
              argv,
              environment.envp(),
              {body ? in.read.get() : nothing_.get(), out.write.get(), err.write.get()},
              limits_.data(),
              limits_.size(),
              ::getpid(),
              0};
    int pidfd = -1;
    // The stack grows down. The worker stands still until the program runs or exec has failed.
    const pid_t pid = ::clone(run_child,
                              static_cast<char*>(stack_) + stack_size,
                              CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                              &exec,
                              &pidfd);
    if (pid < 0)
        return errno;
    Child child(pid, UniqueFd(pidfd));
    if (exec.error != 0) {
        siginfo_t info{};
        ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOWAIT);  // it is in _exit(2)
        return exec.error;                                                      // ~Child reaps it
    }
    child.input = std::move(in.write);
    child.output = std::move(out.read);
    child.errors = std::move(err.read);
    return child;
}

}  // namespace cgi
