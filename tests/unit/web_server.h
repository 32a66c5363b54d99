// web_server.h - the other end of a connection: what a web server sends and what comes back to it.
// Errors   receive() answers what there is when nothing more comes for 20 s.
// Owner    the test case.
#pragma once

#include "base/unique_fd.h"
#include "fcgi/connection.h"
#include "tests/catch.h"
#include "tests/unit/wire.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>
#include <sys/socket.h>

class WebServer {
public:
    WebServer()
    {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        peer = UniqueFd(fds[1]);
        client.emplace(UniqueFd(fds[0]), fcgi::ConnectionLimits{});
    }

    // Waits until all is sent; what does not reach a connection that was given up is lost.
    void send(std::string_view bytes) const
    {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0)
                return;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

    // The head of request 1, and what may follow it; the connection has read the head then.
    void begin(std::string_view pairs, std::string_view body_records)
    {
        send(wire::head(1, pairs) + std::string(body_records));
        while (!client->head_complete())
            client->receive();
    }

    // What has come until the reply is complete or the server has closed.
    std::string receive() const
    {
        std::vector<char> buffer(1 << 16);
        std::string all;
        pollfd entry{peer.get(), POLLIN, 0};
        while (!wire::decode(all).complete() && ::poll(&entry, 1, 20'000) > 0) {
            const ssize_t got = ::recv(peer.get(), buffer.data(), buffer.size(), 0);
            if (got <= 0)
                break;
            all.append(buffer.data(), static_cast<std::size_t>(got));
        }
        return all;
    }

    UniqueFd peer;
    std::optional<fcgi::Connection> client;
};
