#include "ctl/client.h"

#include "base/error.h"
#include "base/unique_fd.h"
#include "net/address.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <thread>

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace ctl {

namespace {

constexpr Duration takeover_time{3'000};  // for a new server to make its socket
constexpr std::size_t longest_reply = 32 << 20;
constexpr Duration look_again{100};

[[noreturn]] void cannot_connect(const std::string& path, int error)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        throw Unreachable("no server is controlled at " + path +
                          ": it does not run, or has another `control` (see --socket, --config)");
    case EACCES:
    case EPERM:
        throw Unreachable(path + ": only root and the user that the server runs as may control it");
    case EAGAIN: throw Unreachable(path + ": the server does not answer");
    default: throw Unreachable(path + ": " + errno_text(error));
    }
}

// connect(2) to a server whose queue is full waits: for so long and no longer.
void limit_waiting(int socket, Duration patience)
{
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(patience);
    const timeval time{seconds.count(), 0};
    ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

UniqueFd connect(const std::string& path, Duration patience)
{
    const auto address = net::Address::parse("unix:" + path);
    if (!address)
        throw Unreachable(address.error());
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket)
        throw_errno("socket");
    limit_waiting(socket.get(), patience);
    if (::connect(socket.get(), address.value().get(), address.value().length) != 0)
        cannot_connect(path, errno);
    return socket;
}

// Until the server closes. It may do so with our request unread: then it has replied nonetheless.
std::string receive(int socket, const std::string& path, Duration patience)
{
    const TimePoint deadline = Clock::now() + patience;
    std::string document;
    char bytes[65536];
    while (document.size() < longest_reply) {
        pollfd set{socket, POLLIN, 0};
        if (::poll(&set, 1, poll_timeout(deadline, Clock::now())) == 0)
            throw Unreachable(path + ": the server does not answer");
        const ssize_t count = ::recv(socket, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno == ECONNRESET))
            return document;
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            throw Unreachable(path + ": " + errno_text(errno));
        if (count > 0)
            document.append(bytes, static_cast<std::size_t>(count));
    }
    throw Unreachable(path + ": this reply has no end");
}

pid_t peer(int socket)
{
    ucred server{};
    socklen_t length = sizeof server;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &server, &length) == 0 ? server.pid : 0;
}

// nullopt: the kernel does not tell.
std::optional<bool> ends_until(TimePoint deadline, pid_t pid)
{
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process)
        return errno == ESRCH ? std::optional(true) : std::nullopt;
    pollfd set{process.get(), POLLIN, 0};
    return ::poll(&set, 1, poll_timeout(deadline, Clock::now())) == 1;
}

// The old server has gone, and nobody has made the socket again.
Takeover without_answer(pid_t successor)
{
    return ends_until(Clock::now(), successor).value_or(false) ? Takeover::failed
                                                               : Takeover::silent;
}

}  // namespace

Answer Client::ask(const std::string& request) const
{
    const UniqueFd socket = connect(path_, patience_);
    const std::string line = request + "\n";
    ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);  // a failure shows in the reply
    Answer answer;
    answer.document = receive(socket.get(), path_, patience_);
    answer.server = peer(socket.get());
    auto reply = control::read_reply(answer.document);
    if (!reply)
        throw Unreachable(path_ +
                          (answer.document.empty() ? ": the server has closed without a reply"
                                                   : ": this is no reply of tricorn") +
                          ": is it the socket of a pool? `control` names the right one");
    answer.reply = std::move(*reply);
    return answer;
}

std::optional<control::ServerStatus> Client::status() const
{
    try {
        return ask("status").reply.status;
    } catch (const Unreachable&) {
        return std::nullopt;
    }
}

bool Client::listening() const
{
    try {
        connect(path_, patience_);
        return true;
    } catch (const Unreachable&) {
        return false;
    }
}

bool wait_end(pid_t pid, const Client& client, TimePoint deadline)
{
    if (const auto ended = pid > 0 ? ends_until(deadline, pid) : std::nullopt)
        return *ended;
    while (client.listening()) {
        if (Clock::now() >= deadline)
            return false;
        std::this_thread::sleep_for(look_again);
    }
    return true;
}

Takeover wait_taken_over(const Client& client, pid_t successor, TimePoint deadline)
{
    bool alone = false;
    for (;;) {
        const auto server = client.status();
        if (server && server->pid == successor)
            return Takeover::done;
        if (server && server->successor == 0)
            return Takeover::failed;
        const TimePoint now = Clock::now();
        if (!alone && !server && !client.listening()) {
            alone = true;
            deadline = std::min(deadline, now + takeover_time);
        }
        if (now >= deadline)
            return alone ? without_answer(successor) : Takeover::late;
        std::this_thread::sleep_for(look_again);
    }
}

}  // namespace ctl
