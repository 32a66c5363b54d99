// notify_socket.h - stands in for the service manager: collects what sd_notify(3) sends.
// Errors   REQUIRE fails when the socket cannot be made.
// Owner    the test; the socket goes with the object.
#pragma once

#include "tests/catch.h"
#include "tests/system/support/temp_dir.h"
#include "tests/system/support/wait.h"

#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

class NotifySocket {
public:
    NotifySocket() : path_(directory_ / "notify")
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    ~NotifySocket() { ::close(fd_); }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;

    const std::string& path() const { return path_; }
    bool wait(const std::string& text, Milliseconds patience = default_patience)
    {
        return wait_for(
            [&] {
                char buffer[4096];
                for (ssize_t got = 0; (got = ::recv(fd_, buffer, sizeof buffer, 0)) > 0;)
                    seen_.append(buffer, static_cast<std::size_t>(got)).append("\n");
                return seen_.find(text) != std::string::npos;
            },
            patience);
    }
    const std::string& seen() const { return seen_; }
    void forget() { seen_.clear(); }

private:
    TempDir directory_;
    std::string path_;
    std::string seen_;
    int fd_ = -1;
};
