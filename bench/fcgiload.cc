// fcgiload.cc - load for a FastCGI server: N connections at a time, one request on each, the next
// one as soon as the last has been answered (a closed loop). Checks every reply.
// Units    times on the command line in seconds, in the result in milliseconds.
// Errors   exit status 64 for a wrong command line, 1 when no request succeeded. Failed requests
//          are counted by kind and are in no percentile.
#include "bench/fcgi_client.h"
#include "bench/load_options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using bench::Address;
using bench::Options;
using bench::Seconds;

// Why a request failed, and what the result line calls it.
enum class Failure { refused, reset, closed, protocol, overload, status, body, exit, timeout };
constexpr std::array failure_names = {
    "refused", "reset", "closed", "protocol", "overload", "status", "body", "exit", "timeout"};

struct Connection {
    int fd = -1;
    bool again = false;         // the backlog was full: the same request, once more
    Clock::time_point started;  // of the first attempt
    std::size_t sent = 0;
    bench::Reply reply;
};

class Load {
public:
    Load(const Options& options, const Address& address);
    ~Load();
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;

    void run();
    bool report() const;  // false: no request succeeded

private:
    bool more() const;
    void start(std::size_t index);
    void send_rest(std::size_t index);
    void receive(std::size_t index);
    void check(std::size_t index);
    void fail(std::size_t index, Failure kind);
    void finish(std::size_t index);
    void look_after(Clock::time_point now);

    const Options& options_;
    const Address& address_;
    const std::string request_;
    const int epoll_;
    std::vector<Connection> connections_;
    std::vector<double> latencies_;  // milliseconds, of the requests that succeeded
    std::array<std::size_t, failure_names.size()> failures_{};
    std::size_t backlog_full_ = 0;
    std::size_t answered_ = 0;  // before, while and after counting
    Clock::time_point begin_, count_from_, end_;
};

Load::Load(const Options& options, const Address& address)
    : options_(options), address_(address), request_(bench::encode_request(options.params)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)), connections_(options.connections)
{
}

Load::~Load()
{
    for (const Connection& connection : connections_)
        if (connection.fd >= 0)
            ::close(connection.fd);
    ::close(epoll_);
}

bool Load::more() const
{
    return options_.requests == 0 || answered_ < options_.requests;
}

void Load::run()
{
    begin_ = Clock::now();
    count_from_ = begin_ + std::chrono::duration_cast<Clock::duration>(options_.warm_up);
    end_ = count_from_ + std::chrono::duration_cast<Clock::duration>(options_.duration);
    for (std::size_t i = 0; i < connections_.size(); ++i)
        start(i);
    std::array<epoll_event, 64> events;
    for (auto now = Clock::now(); now < end_ && more(); now = Clock::now()) {
        // A connection that found the backlog full tries again soon.
        const int ready = ::epoll_wait(epoll_, events.data(), int{events.size()}, 2);
        for (int i = 0; i < ready; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if ((event.events & EPOLLOUT) != 0)
                send_rest(event.data.u64);
            else
                receive(event.data.u64);
        }
        look_after(now);
    }
    end_ = std::min(end_, Clock::now());
}

void Load::start(std::size_t index)
{
    Connection& connection = connections_[index];
    if (!connection.again)
        connection.started = Clock::now();
    connection.again = false;
    connection.sent = 0;
    connection.reply.clear();
    connection.fd =
        ::socket(address_.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const auto* name = reinterpret_cast<const sockaddr*>(&address_.storage);
    if (connection.fd < 0)
        return fail(index, Failure::refused);
    if (::connect(connection.fd, name, address_.length) < 0 && errno != EINPROGRESS) {
        if (errno != EAGAIN)
            return fail(index, Failure::refused);
        // A unix socket's way to say that the backlog is full: look_after() tries again.
        ++backlog_full_;
        connection.again = true;
        return finish(index);
    }
    send_rest(index);
}

void Load::send_rest(std::size_t index)
{
    Connection& connection = connections_[index];
    const ssize_t n = ::send(connection.fd,
                             request_.data() + connection.sent,
                             request_.size() - connection.sent,
                             MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
        return fail(index, errno == ECONNREFUSED ? Failure::refused : Failure::reset);
    connection.sent += n > 0 ? static_cast<std::size_t>(n) : 0;

    epoll_event event{};
    event.events = connection.sent < request_.size() ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u64 = index;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) < 0 && errno == EEXIST)
        ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
}

void Load::receive(std::size_t index)
{
    Connection& connection = connections_[index];
    if (connection.fd < 0)
        return;
    std::array<char, 65536> buffer;
    const ssize_t n = ::recv(connection.fd, buffer.data(), buffer.size(), 0);
    if (n < 0)
        return errno == EAGAIN ? void() : fail(index, Failure::reset);
    if (n == 0)
        return fail(index, Failure::closed);
    if (!connection.reply.feed({buffer.data(), static_cast<std::size_t>(n)}))
        return fail(index, Failure::protocol);
    if (connection.reply.complete())
        check(index);
}

void Load::check(std::size_t index)
{
    const bench::Reply& reply = connections_[index].reply;
    if (reply.overloaded())
        return fail(index, Failure::overload);
    if (reply.status() != 200)
        return fail(index, Failure::status);
    if (options_.body && reply.body() != *options_.body)
        return fail(index, Failure::body);
    if (reply.app_status() != 0)
        return fail(index, Failure::exit);
    const auto now = Clock::now();
    if (now >= count_from_ && now < end_) {
        const Seconds took = now - connections_[index].started;
        latencies_.push_back(took.count() * 1000);
    }
    ++answered_;
    finish(index);
    if (more())
        start(index);
}

void Load::fail(std::size_t index, Failure kind)
{
    ++failures_[static_cast<std::size_t>(kind)];
    ++answered_;
    finish(index);
    // look_after() starts the next one: a server that refuses everything is not asked in a tight
    // loop.
}

void Load::finish(std::size_t index)
{
    if (connections_[index].fd >= 0)
        ::close(connections_[index].fd);
    connections_[index].fd = -1;
}

void Load::look_after(Clock::time_point now)
{
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        const Connection& connection = connections_[i];
        if (connection.fd >= 0 && now - connection.started > options_.timeout)
            fail(i, Failure::timeout);
        if (connection.fd < 0 && more())
            start(i);
    }
}

bool Load::report() const
{
    std::vector<double> sorted = latencies_;
    std::sort(sorted.begin(), sorted.end());
    const auto percentile = [&sorted](double part) {
        if (sorted.empty())
            return 0.0;
        return sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
    };
    const Seconds seconds = std::max(end_ - count_from_, Clock::duration(1));
    std::size_t failed = 0;
    for (const std::size_t count : failures_)
        failed += count;
    std::printf(
        "requests %zu seconds %.3f rate %.1f p50 %.3f p99 %.3f max %.3f answered %zu errors %zu",
        sorted.size(),
        seconds.count(),
        static_cast<double>(sorted.size()) / seconds.count(),
        percentile(0.5),
        percentile(0.99),
        percentile(1),
        answered_,
        failed);
    for (std::size_t kind = 0; kind < failure_names.size(); ++kind)
        std::printf(" %s %zu", failure_names[kind], failures_[kind]);
    std::printf(" backlog_full %zu\n", backlog_full_);
    return !sorted.empty();
}

}  // namespace

int main(int argc, char** argv)
{
    const Options options = bench::parse_arguments(argc, argv);
    const Address address = bench::parse_address(options.address);
    Load load(options, address);
    load.run();
    return load.report() ? EXIT_SUCCESS : EXIT_FAILURE;
}
