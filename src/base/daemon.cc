#include "base/daemon.h"

#include "base/error.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

// In the process that was called: ends it with what the daemon reports; a daemon that dies before
// it can report has failed.
[[noreturn]] void wait_for_report(int pipe, const std::string& log) noexcept
{
    unsigned char code = exit_failure;
    if (::read(pipe, &code, 1) != 1)
        code = exit_failure;
    // The log has what a worker says, which need not be where anybody looks now.
    if (code == exit_worker_boot || code == exit_handler_load)
        std::fprintf(
            stderr, "tricorn: the first workers did not start: %s says why\n", log.c_str());
    ::_exit(code);
}

pid_t checked_fork()
{
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno("fork");
    return pid;
}

}  // namespace

Daemon Daemon::detach(const std::string& log)
{
    Pipe pipe;
    if (!open_pipe(pipe))
        throw_errno("pipe");
    Daemon daemon;
    daemon.status_ = std::move(pipe.write);
    daemon.detached_ = true;

    // The waiting process must not hold the end that it waits for.
    if (checked_fork() > 0) {
        daemon.status_.reset();
        wait_for_report(pipe.read.get(), log);
    }
    pipe.read.reset();
    if (::setsid() < 0)
        throw_errno("setsid");
    if (checked_fork() > 0)
        ::_exit(exit_ok);  // no session leader, no terminal ever
    if (::chdir("/") != 0)
        throw_errno("chdir to /");
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null || ::dup2(null.get(), STDIN_FILENO) < 0)
        throw_errno("/dev/null");
    return daemon;
}

Daemon Daemon::inherited()
{
    Daemon daemon;
    daemon.detached_ = true;
    return daemon;
}

void Daemon::report(int exit_code) noexcept
{
    if (!detached_ || reported_)
        return;
    reported_ = true;
    const auto code = static_cast<unsigned char>(exit_code);
    const bool told = !status_ || ::write(status_.get(), &code, 1) == 1;
    status_.reset();
    if (!told || exit_code != 0)
        return;
    // From now on the terminal is somebody else's; errors go to the log file or to syslog.
    leave_standard_descriptors();
}

void redirect_to_null(int fd) noexcept
{
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null)
        ::dup2(null.get(), fd);
}

void leave_standard_descriptors() noexcept
{
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        redirect_to_null(fd);
}

void leave_terminal() noexcept
{
    const UniqueFd terminal(::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (terminal)
        ::ioctl(terminal.get(), TIOCNOTTY);
}

void open_standard_descriptors()
{
    int fd = 0;
    do {
        fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        ::close(fd);
}
