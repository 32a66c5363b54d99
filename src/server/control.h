// control.h - the socket on which tricornctl(1) is answered: a request in, a reply out, and closed.
// Only root and the user that the server runs as are answered. Nothing here ever waits: clients
// that are slow, silent or send too much cost a descriptor for a few seconds.
// Units    none.
// Errors   prepare() throws StartError. Whatever happens to a client ends with that client.
// Owner    the arbiter. Workers inherit nothing of it.
// Source   gunicorn's control socket; fpm_unix.c for the test connect (net/listener).
#pragma once

#include "base/clock.h"
#include "base/unique_fd.h"
#include "control/reply.h"
#include "control/request.h"
#include "net/listener.h"

#include <list>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>

namespace server {

class Control {
public:
    // Who does what is asked for.
    class Actions {
    public:
        virtual ~Actions() = default;
        virtual control::Reply carry_out(const control::Request& request) = 0;
    };

    // The listening socket; its file goes with it.
    class Socket {
    public:
        explicit Socket(const std::string& path);
        Socket(const Socket&) = delete;
        Socket& operator=(const Socket&) = delete;
        ~Socket() { listener_.unlink_if_ours(); }

        int fd() const { return listener_.fd(); }
        bool reachable() const { return listener_.reachable(); }
        const std::string& path() const { return listener_.address().path; }

    private:
        net::Listener listener_;
    };

    explicit Control(Actions& actions) : actions_(actions) {}

    // The socket for a value of the setting `control`, which may be the one that is in use; null
    // for none. That the default cannot be had, or that the server which was upgraded to this one
    // has the socket still, is no error: serve() tries again.
    std::shared_ptr<Socket> prepare(const std::string& setting) const;
    void use(const std::string& setting, std::shared_ptr<Socket> socket);
    // The server that had the socket has ended, or is about to: serve() goes on trying for a while.
    void retry_now();
    // Empty: there is no socket.
    std::string path() const { return socket_ ? socket_->path() : std::string(); }
    // Nobody is answered any more.
    void close();

    // Adds what the arbiter is to wait for.
    void watch(std::vector<pollfd>& set, TimePoint now) const;
    // Does all that can be done now.
    void serve(TimePoint now);

private:
    struct Client {
        UniqueFd fd;
        std::string name;  // for the log
        TimePoint deadline;
        std::string input;
        std::string output;  // the reply, once there is one
        std::size_t sent = 0;
        bool over = false;
    };

    void retry(TimePoint now);
    void accept_clients(TimePoint now);
    void welcome(UniqueFd fd, TimePoint now);
    void receive(Client& client);
    void answer(Client& client, const std::string& line);
    static void send(Client& client);

    Actions& actions_;
    std::string setting_;
    std::shared_ptr<Socket> socket_;
    std::list<Client> clients_;
    TimePoint accept_after_ = TimePoint::min();
    TimePoint retry_after_ = TimePoint::min();
    TimePoint hurry_until_ = TimePoint::min();
};

}  // namespace server
