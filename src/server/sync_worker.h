// sync_worker.h - the default worker class: one request at a time, and the connection is closed
// after the reply. Connections that have not sent a whole request head wait on the side, each with
// its deadline; they cost a descriptor, never the worker.
// Units    none.
// Errors   run() throws std::system_error when the listening socket fails for good.
// Owner    run_worker().
// Source   gunicorn workers/sync.py.
#pragma once

#include "fcgi/connection.h"
#include "server/worker.h"

#include <map>
#include <memory>
#include <set>
#include <vector>

#include <poll.h>

namespace server {

class SyncWorker : public Worker {
public:
    using Worker::Worker;

    void run() override;

private:
    void prepare() override;

    // A connection that is not being served: its head is not complete yet, or its reply is out and
    // the rest of its input must be read before it may be closed.
    struct Waiting {
        std::unique_ptr<fcgi::Connection> connection;
        TimePoint deadline;
        bool lingering = false;
    };

    bool accept_all();
    void accept_last();
    void accept_waiting(const net::Listener& listener);
    bool accept_one(const net::Listener& listener);
    void await_turn();
    void pause_accepting();
    void watch_listeners(bool on);
    void stop_accepting();
    bool is_listener(int fd) const;
    void log_broken(const fcgi::Connection& connection);

    void wait(Duration limit);
    void take_waiting(int fd);
    void drop_expired(TimePoint now);
    TimePoint next_deadline() const;

    void park(std::unique_ptr<fcgi::Connection> connection, TimePoint deadline, bool lingering);
    std::unique_ptr<fcgi::Connection> unpark(int fd);
    bool drop_longest_waiting();
    void serve(std::unique_ptr<fcgi::Connection> connection);
    void linger(std::unique_ptr<fcgi::Connection> connection);
    void drive(handler::Task& task);
    void finish_waiting();

    UniqueFd epoll_;
    bool listening_ = false;  // the listeners are in the epoll set
    std::set<int> woken_;     // listeners with a connection that has not been looked for yet
    bool closed_ = false;     // the listeners, for good
    Throttle broken_{Duration{1'000}};  // lines of the log about what is no FastCGI
    TimePoint paused_until_ = TimePoint::min();
    bool starved_ = false;  // of descriptors or memory; said once
    std::map<int, Waiting> waiting_;
    std::size_t max_waiting_ = 0;
    std::vector<pollfd> set_;
};

}  // namespace server
