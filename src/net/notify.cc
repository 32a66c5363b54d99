#include "net/notify.h"

#include "base/text.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

namespace net {

namespace {

constexpr int first_inherited = 3;

#ifdef HAVE_SYSTEMD

struct FreeNames {
    void operator()(char** names) const
    {
        for (char** name = names; *name != nullptr; ++name)
            std::free(*name);
        std::free(names);
    }
};

std::vector<std::string> take_names()
{
    char** raw = nullptr;
    const int count = ::sd_listen_fds_with_names(1, &raw);
    const std::unique_ptr<char*, FreeNames> names(raw);
    if (count <= 0)
        return {};
    return std::vector<std::string>(raw, raw + count);
}

#else

std::vector<std::string> take_names()
{
    auto names = read_listen_names(std::getenv("LISTEN_PID"),
                                   std::getenv("LISTEN_FDS"),
                                   std::getenv("LISTEN_FDNAMES"),
                                   ::getpid());
    for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        ::unsetenv(variable);
    return names;
}

#endif

}  // namespace

std::vector<std::string> read_listen_names(const char* pid,
                                           const char* fds,
                                           const char* names,
                                           pid_t self)
{
    constexpr std::size_t most = 1024;
    if (pid == nullptr || fds == nullptr)
        return {};
    const auto count = text::to_number<std::size_t>(fds);
    if (pid != std::to_string(self) || !count || *count > most)
        return {};
    std::vector<std::string> result;
    std::string_view rest = names == nullptr ? "" : names;
    while (result.size() < *count) {
        const auto name = rest.substr(0, rest.find(':'));
        result.emplace_back(name);
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    }
    return result;
}

std::vector<InheritedSocket> listen_fds()
{
    std::vector<InheritedSocket> sockets;
    int fd = first_inherited;
    for (auto& name : take_names()) {
        if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
            sockets.push_back({UniqueFd(fd), std::move(name)});
        ++fd;
    }
    return sockets;
}

namespace notify {

namespace {

void send(const std::string& state)
{
#ifdef HAVE_SYSTEMD
    ::sd_notify(0, state.c_str());
#else
    static_cast<void>(state);
#endif
}

// A newline would begin another assignment.
std::string status_line(std::string_view text)
{
    std::string line = "STATUS=";
    for (const char c : text)
        line += c == '\n' ? ' ' : c;
    return line;
}

}  // namespace

void ready(std::string_view status)
{
    send("READY=1\n" + status_line(status));
}

void reloading()
{
    // The steady clock is CLOCK_MONOTONIC, which is what MONOTONIC_USEC means.
    const auto now =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch());
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
}

void stopping()
{
    send("STOPPING=1");
}

void status(std::string_view text)
{
    send(status_line(text));
}

void main_pid(pid_t pid)
{
    send("MAINPID=" + std::to_string(pid));
}

void watchdog()
{
    send("WATCHDOG=1");
}

std::optional<Duration> watchdog_interval()
{
#ifdef HAVE_SYSTEMD
    std::uint64_t limit = 0;
    if (::sd_watchdog_enabled(0, &limit) > 0)
        return std::max(std::chrono::floor<Duration>(std::chrono::microseconds(limit / 2)),
                        Duration(1));
#endif
    return std::nullopt;
}

}  // namespace notify

}  // namespace net
