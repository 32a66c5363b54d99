#include "base/signals.h"

#include "base/error.h"

#include <cstdint>

#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

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

std::optional<Signal> SignalQueue::next() noexcept
{
    signalfd_siginfo info{};
    if (::read(fd_.get(), &info, sizeof info) != sizeof info)
        return std::nullopt;
    const bool sent = info.ssi_code == SI_USER || info.ssi_code == SI_QUEUE;
    return Signal{static_cast<int>(info.ssi_signo),
                  sent ? static_cast<pid_t>(info.ssi_pid) : 0,
                  sent ? info.ssi_uid : 0};
}

void reset_signals() noexcept
{
    // sigaction(2) by number: the library's function refuses the two signals that it keeps for
    // threads, which may have been ignored by whoever started us, too, and programs inherit that.
    struct {
        std::uint64_t handler = 0;
        std::uint64_t flags = 0;
        std::uint64_t restorer = 0;
        std::uint64_t mask = 0;
    } action;
    for (int signo = 1; signo < NSIG; ++signo)
        ::syscall(SYS_rt_sigaction, signo, &action, nullptr, sizeof action.mask);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void ignore_write_signals() noexcept
{
    for (const int signo : write_signals)
        ::signal(signo, SIG_IGN);
}
