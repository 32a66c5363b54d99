#include "base/signals.h"

#include "base/error.h"

#include <csignal>

#include <sys/signalfd.h>

SignalQueue::SignalQueue(std::initializer_list<int> signals)
{
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signo : signals)
        ::sigaddset(&set, signo);
    if (::sigprocmask(SIG_SETMASK, &set, nullptr) != 0)
        throw_errno("sigprocmask");
    fd_ = UniqueFd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!fd_)
        throw_errno("signalfd");
}

std::optional<int> SignalQueue::next() noexcept
{
    signalfd_siginfo info{};
    if (::read(fd_.get(), &info, sizeof info) != sizeof info)
        return std::nullopt;
    return static_cast<int>(info.ssi_signo);
}

void reset_signals() noexcept
{
    struct sigaction action = {};
    for (int signo = 1; signo < NSIG; ++signo) {
        action.sa_handler = signo == SIGPIPE ? SIG_IGN : SIG_DFL;
        ::sigaction(signo, &action, nullptr);  // fails for KILL, STOP and libc's own, rightly
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}
