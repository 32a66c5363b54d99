// notify_socket.h - stands in for the service manager: collects what sd_notify(3) sends.
// Errors   REQUIRE fails when the socket cannot be made.
// Owner    the test; the socket goes with the object.
#pragma once

#include "tests/catch.h"
#include "tests/system/support/temp_dir.h"
#include "tests/system/support/wait.h"

#include <cstring>
#include <map>
#include <string>

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

// A build option of the server.
#ifdef HAVE_SYSTEMD
constexpr bool knows_service_manager = true;
#else
constexpr bool knows_service_manager = false;
#endif

class NotifySocket {
public:
    NotifySocket() : path_(directory_ / "notify")
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int on = 1;
        REQUIRE(::setsockopt(fd_, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
        REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    ~NotifySocket() { ::close(fd_); }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;

    const std::string& path() const { return path_; }
    bool wait(const std::string& text, Milliseconds patience = default_patience)
    {
        return wait_for([&] { return take(), seen_.find(text) != std::string::npos; }, patience);
    }
    // From that process; systemd listens to the main process alone.
    bool wait_from(pid_t pid, const std::string& text, Milliseconds patience = default_patience)
    {
        return wait_for([&] { return take(), from_[pid].find(text) != std::string::npos; },
                        patience);
    }
    bool heard_from(pid_t pid) { return take(), !from_[pid].empty(); }
    const std::string& seen() { return take(), seen_; }
    void forget()
    {
        take();
        seen_.clear();
        from_.clear();
    }

private:
    // All that is there.
    void take()
    {
        char buffer[4096];
        char control[CMSG_SPACE(sizeof(ucred))];
        iovec part{buffer, sizeof buffer};
        for (;;) {
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            const ssize_t got = ::recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
            if (got <= 0)
                return;
            ucred sender{};
            if (const cmsghdr* header = CMSG_FIRSTHDR(&message))
                std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
            const std::string text = std::string(buffer, static_cast<std::size_t>(got)) + "\n";
            seen_ += text;
            from_[sender.pid] += text;
        }
    }

    TempDir directory_;
    std::string path_;
    std::string seen_;
    std::map<pid_t, std::string> from_;
    int fd_ = -1;
};
