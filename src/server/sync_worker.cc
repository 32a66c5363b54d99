#include "server/sync_worker.h"

#include "base/error.h"
#include "handler/reply.h"
#include "log/log.h"
#include "net/backlog.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <span>
#include <system_error>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

namespace server {

namespace {

constexpr int max_events = 64;

// How many connections may wait on the side before the one that waits longest must go: half of
// the descriptors, the other half is for programs.
std::size_t waiting_room()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    return std::clamp<std::size_t>(limit.rlim_cur / 2, 1, 512);
}

// Out of descriptors or memory: nothing gets better by trying at once.
constexpr Duration accept_pause{1'000};

// The arbiter answers within milliseconds; without an answer there is no arbiter.
constexpr Duration answer_time{1'000};

// How long the input of a connection is still read after its reply.
constexpr Duration linger_time{2'000};

// Web servers send the head right after they connect, and the worker may look in between. One that
// is put on the side waits for its worker's next request to end, however idle the others are. While
// there is one already none is waited for: many that stay silent must not cost this much each.
constexpr Duration head_grace{2};

// A retiring worker: what connections get whose request has not arrived. Web servers send it
// right after they connect.
constexpr Duration last_chance{2'000};

bool readable(int fd, Duration patience)
{
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, static_cast<int>(patience.count())) > 0;
}

bool watch(int epoll, int operation, int fd, unsigned events) noexcept
{
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return ::epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

void SyncWorker::prepare()
{
    epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_)
        throw_errno("epoll_create");
    max_waiting_ = waiting_room();
    for (const auto& listener : setup_.listeners)
        listener->unblock();
    if (!watch(epoll_.get(), EPOLL_CTL_ADD, signals_->fd(), EPOLLIN) ||
        !watch(epoll_.get(), EPOLL_CTL_ADD, setup_.channel, EPOLLIN))
        throw_errno("epoll_ctl");
    watch_listeners(true);
}

void SyncWorker::run()
{
    while (!retiring_) {
        notify(Clock::now());
        if (asking_) {
            await_turn();
            continue;
        }
        // After a connection the next one is tried at once: under load there is no poll at all,
        // but for those that wait on the side, which must not starve.
        const bool accepted = accept_all();
        if (accepted && !waiting_.empty()) {
            wait(Duration{0});
        } else if (!accepted) {
            if (!parent_alive()) {
                logging::warning("[%s] the arbiter is gone, stopping", pool().name.c_str());
                retiring_ = true;
                break;
            }
            reap_strays();
            wait(longest_wait());
        }
        take_signals();
    }
    take_messages();
    if (!stopping_)
        accept_last();
    stop_accepting();
    finish_waiting();
}

// --- accepting ----------------------------------------------------------------------------------

// One from each listener; true when there was one.
bool SyncWorker::accept_all()
{
    const TimePoint now = Clock::now();
    if (now < paused_until_)
        return false;
    if (!listening_)
        watch_listeners(true);
    bool any = false;
    for (const auto& listener : setup_.listeners) {
        if (retiring_ || asking_)
            return any;
        any = accept_one(*listener) || any;
    }
    return any;
}

// The wake-up for a connection comes to one worker alone (EPOLLEXCLUSIVE). It came to this one,
// which was retired before it looked; nobody else will look.
void SyncWorker::accept_last()
{
    for (const auto& listener : setup_.listeners)
        if (woken_.contains(listener->fd()))
            accept_one(*listener);
    for (const net::Listener& listener : last_)
        accept_waiting(listener);
}

// Those that wait now: the address is given up, but clients may go on coming.
void SyncWorker::accept_waiting(const net::Listener& listener)
{
    const auto backlog = net::backlog_of(listener.fd());
    for (unsigned left = backlog ? backlog->waiting : UINT_MAX; left > 0 && !stopping_; --left) {
        notify(Clock::now());
        if (!accept_one(listener))
            return;
        take_signals();
    }
}

bool SyncWorker::accept_one(const net::Listener& listener)
{
    woken_.erase(listener.fd());
    net::Accepted accepted = net::accept(listener.fd(), listener.is_tcp());
    switch (accepted.outcome) {
    case net::Accepted::Outcome::would_block: return false;
    case net::Accepted::Outcome::retry: return true;
    case net::Accepted::Outcome::no_resources:
        if (drop_longest_waiting())
            return true;  // it has made room
        if (!starved_)
            logging::error("[%s] cannot accept: %s; trying again each second",
                           pool().name.c_str(),
                           errno_text(accepted.error).c_str());
        starved_ = true;
        pause_accepting();
        return false;
    case net::Accepted::Outcome::fatal:
        throw std::system_error(
            accepted.error, std::generic_category(), "accept on " + listener.address().text);
    case net::Accepted::Outcome::accepted: break;
    }
    starved_ = false;
    if (!admits(accepted.fd.get(), listener.is_tcp()))
        return true;
    const TimePoint now = Clock::now();
    const fcgi::ConnectionLimits limits{
        pool().max_params_size, static_cast<unsigned>(pool().workers), listener.is_tcp()};
    auto connection = std::make_unique<fcgi::Connection>(std::move(accepted.fd), limits);
    connection->receive();
    if (waiting_.empty() && connection->untouched() && readable(connection->fd(), head_grace))
        connection->receive();
    if (connection->head_complete())
        serve(std::move(connection));
    else if (connection->refused())
        linger(std::move(connection));
    else if (!connection->error().empty())
        log_broken(*connection);
    else if (!connection->gone())
        park(std::move(connection), deadline_after(now, pool().head_timeout), false);
    return true;
}

// Whoever speaks something else to the port must not fill the log.
void SyncWorker::log_broken(const fcgi::Connection& connection)
{
    if (const auto held = broken_.pass(Clock::now()))
        logging::warning("[%s] a connection was closed: %s%s",
                         pool().name.c_str(),
                         connection.error().c_str(),
                         Throttle::describe(*held).c_str());
}

// A worker that has asked to be replaced takes no more connections until it is told to go, or that
// others go first.
void SyncWorker::await_turn()
{
    watch_listeners(false);
    paused_until_ = Clock::now() + answer_time;
    while (asking_ && !retiring_ && Clock::now() < paused_until_) {
        wait(answer_time);
        take_signals();
    }
    asking_ = false;
    paused_until_ = TimePoint::min();
}

void SyncWorker::pause_accepting()
{
    watch_listeners(false);
    paused_until_ = Clock::now() + accept_pause;
}

// EPOLLEXCLUSIVE: a new connection wakes one idle worker, not all of them.
void SyncWorker::watch_listeners(bool on)
{
    if (on == listening_)
        return;
    for (const auto& listener : setup_.listeners)
        if (!watch(epoll_.get(),
                   on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
                   listener->fd(),
                   on ? EPOLLIN | EPOLLEXCLUSIVE : 0U))
            throw_errno("epoll_ctl");
    listening_ = on;
}

bool SyncWorker::is_listener(int fd) const
{
    const auto same = [fd](const auto& listener) { return listener->fd() == fd; };
    return !closed_ && std::any_of(setup_.listeners.begin(), setup_.listeners.end(), same);
}

void SyncWorker::stop_accepting()
{
    if (closed_)
        return;
    closed_ = true;
    watch_listeners(false);
    for (const auto& listener : setup_.listeners)
        ::close(listener->fd());
}

// --- waiting ------------------------------------------------------------------------------------

void SyncWorker::wait(Duration limit)
{
    const TimePoint now = Clock::now();
    TimePoint until = std::min(now + limit, next_deadline());
    if (!listening_ && !retiring_)
        until = std::min(until, paused_until_);
    epoll_event events[max_events];
    const int count = ::epoll_wait(epoll_.get(), events, max_events, poll_timeout(until, now));
    notify(Clock::now());
    const std::span<const epoll_event> ready(events, static_cast<std::size_t>(std::max(count, 0)));
    for (const epoll_event& event : ready)
        if (is_listener(event.data.fd))
            woken_.insert(event.data.fd);
    for (const epoll_event& event : ready) {
        const int fd = event.data.fd;
        if (fd == setup_.channel)
            take_messages();
        else if (waiting_.contains(fd))
            take_waiting(fd);
        if (stopping_)
            break;
    }
    drop_expired(Clock::now());
}

void SyncWorker::take_waiting(int fd)
{
    Waiting& entry = waiting_.at(fd);
    fcgi::Connection& connection = *entry.connection;
    if (entry.lingering) {
        if (connection.drain())
            unpark(fd);
        return;
    }
    connection.receive();
    if (connection.head_complete()) {
        serve(unpark(fd));
    } else if (connection.refused()) {
        linger(unpark(fd));
    } else if (!connection.error().empty() || connection.gone()) {
        if (!connection.error().empty())
            log_broken(connection);
        unpark(fd);
    }
}

void SyncWorker::drop_expired(TimePoint now)
{
    std::vector<int> expired;
    for (const auto& [fd, entry] : waiting_)
        if (now >= entry.deadline)
            expired.push_back(fd);
    for (const int fd : expired) {
        // What it lacked may have come while another request was served.
        if (!stopping_ && waiting_.contains(fd))
            take_waiting(fd);
        const auto found = waiting_.find(fd);
        if (found == waiting_.end() || now < found->second.deadline)
            continue;
        if (!found->second.lingering && !found->second.connection->untouched())
            logging::info("[%s] a connection was closed: no whole request in head_timeout",
                          pool().name.c_str());
        unpark(fd);
    }
}

TimePoint SyncWorker::next_deadline() const
{
    TimePoint first = never;
    for (const auto& [fd, entry] : waiting_)
        first = std::min(first, entry.deadline);
    return first;
}

void SyncWorker::park(std::unique_ptr<fcgi::Connection> connection,
                      TimePoint deadline,
                      bool lingering)
{
    if (waiting_.size() >= max_waiting_)
        drop_longest_waiting();
    const int fd = connection->fd();
    if (!watch(epoll_.get(), EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP))
        return;  // no memory for it: this connection goes, the others stay
    waiting_.insert_or_assign(fd, Waiting{std::move(connection), deadline, lingering});
}

bool SyncWorker::drop_longest_waiting()
{
    const auto longest =
        std::min_element(waiting_.begin(), waiting_.end(), [](const auto& a, const auto& b) {
            return a.second.deadline < b.second.deadline;
        });
    if (longest == waiting_.end())
        return false;
    unpark(longest->first);
    return true;
}

std::unique_ptr<fcgi::Connection> SyncWorker::unpark(int fd)
{
    // Out of the set by hand: a program that is being started may still hold the socket.
    watch(epoll_.get(), EPOLL_CTL_DEL, fd, 0);
    auto connection = std::move(waiting_.at(fd).connection);
    waiting_.erase(fd);
    return connection;
}

// What has been accepted before the worker was retired is still served, if it comes soon.
void SyncWorker::finish_waiting()
{
    const TimePoint soon = Clock::now() + last_chance;
    for (auto& [fd, entry] : waiting_)
        entry.deadline = std::min(entry.deadline, soon);
    while (!waiting_.empty() && !stopping_) {
        wait(longest_wait());
        take_signals();
    }
}

// --- serving ------------------------------------------------------------------------------------

void SyncWorker::serve(std::unique_ptr<fcgi::Connection> connection)
{
    const TimePoint started = Clock::now();
    setup_.slot.begin_request(handler::request_line(connection->params()), started);
    if (pool().scaling == config::Scaling::ondemand)
        wake_arbiter();  // the next connection may need another worker
    {
        const auto task = handler_->start(*connection, started);
        setup_.slot.set_script(task->outcome().script);
        drive(*task);
        request_served(task->outcome(), connection->params(), started);
    }
    linger(std::move(connection));
}

// The reply is out. Closing with unread input would destroy it on its way.
void SyncWorker::linger(std::unique_ptr<fcgi::Connection> connection)
{
    if (!connection->input_left())
        return;
    connection->shut_down();
    park(std::move(connection), Clock::now() + linger_time, true);
}

void SyncWorker::drive(handler::Task& task)
{
    bool told = false;
    while (!task.done()) {
        set_.assign({{signals_->fd(), POLLIN, 0}, {setup_.channel, POLLIN, 0}});
        const TimePoint deadline = task.prepare(set_);
        const TimePoint before = Clock::now();
        const TimePoint until = std::min(deadline, before + longest_wait());
        if (::poll(set_.data(), set_.size(), poll_timeout(until, before)) < 0)
            for (pollfd& entry : set_)
                entry.revents = 0;
        const TimePoint now = Clock::now();
        notify(now);
        if (set_[0].revents != 0)
            take_signals();
        if (set_[1].revents != 0)
            take_messages();
        if (stopping_ && !told) {
            task.stop(now);
            told = true;
        }
        // New clients are told at once that nobody will serve them here.
        if (retiring_ && woken_.empty())
            stop_accepting();
        task.advance(std::span<const pollfd>(set_).subspan(2), now);
    }
}

}  // namespace server
