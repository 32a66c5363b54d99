#include "server/worker.h"

#include "base/daemon.h"
#include "base/error.h"
#include "handler/cgi/cgi.h"
#include "handler/module.h"
#include "log/log.h"
#include "server/channel.h"
#include "server/privileges.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <csignal>
#include <random>
#include <utility>

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace server {

namespace {

// With timeout = 0 nobody watches, but the loop still turns over to notice a dead parent.
constexpr Duration wait_without_timeout{500};

// Of log lines about connections that are refused.
constexpr Duration strangers_interval{10'000};

std::unique_ptr<handler::Handler> make_handler(const config::Pool& pool, handler::Lifeline worker)
{
    switch (pool.handler) {
    case config::HandlerKind::cgi: return std::make_unique<cgi::CgiHandler>(pool);
    case config::HandlerKind::module:
        return std::make_unique<handler::ModuleHandler>(pool, std::move(worker));
    }
    throw StartError(exit_handler_load, "this handler is not built in");
}

// A CGI worker whose arbiter dies still has a program to end. A module cannot be asked.
int death_signal(const config::Pool& pool)
{
    return pool.handler == config::HandlerKind::module ? SIGKILL : SIGQUIT;
}

// Spread, so that the workers of a pool do not recycle at the same moment.
std::uint64_t with_jitter(std::uint64_t limit, std::uint64_t jitter)
{
    if (limit == 0 || jitter == 0)
        return limit;
    std::random_device random;
    return limit + std::uniform_int_distribution<std::uint64_t>(0, jitter)(random);
}

}  // namespace

Worker::Worker(const WorkerSetup& setup)
    : setup_(setup), peers_(setup.pool.allowed_clients, setup.pool.allowed_users),
      strangers_(strangers_interval),
      max_requests_(with_jitter(setup.pool.max_requests, setup.pool.max_requests_jitter))
{
}

void Worker::init_process()
{
    set_process_title("tricorn: worker [" + pool().name + "]");
    signals_ = std::make_unique<SignalQueue>(std::initializer_list<int>{
        SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU, SIGALRM});
    logging::separate();
    close_what_is_not_ours();
    // Whoever started a daemon may wait for the end of its output.
    if (setup_.daemon)
        leave_standard_descriptors();
    leave_terminal();
    // Fewer preemptions: measured, 8 to 10 % less CPU for a short program. Best effort.
    const sched_param none{};
    if (::sched_getscheduler(0) == SCHED_OTHER)  // or somebody has chosen
        ::sched_setscheduler(0, SCHED_BATCH, &none);
    logging::connect_again();
    setup_.access_log.connect_again();
    drop_privileges(pool(), setup_.identity);
    if (!follow_parent(setup_.arbiter, death_signal(pool())))
        throw StartError(exit_worker_boot, "the arbiter is gone");
    const auto alive = [this] {
        notify(Clock::now());
        take_signals();
        return !stopping_;
    };
    handler_ = make_handler(pool(), {alive, signals_->fd()});
    prepare();

    notify(Clock::now());
    setup_.slot.booted(Clock::now());
    wake_arbiter();
    logging::debug("[%s] worker booted", pool().name.c_str());
}

// Listeners of other pools, the other workers' channels, the arbiter's own descriptors.
void Worker::close_what_is_not_ours() const
{
    // fd://0 may be another pool's.
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (net::is_listening(fd) && std::ranges::find(setup_.listeners, fd, [](const auto& it) {
                                         return it->fd();
                                     }) == setup_.listeners.end())
            redirect_to_null(fd);
    std::vector<int> keep = {STDIN_FILENO,
                             STDOUT_FILENO,
                             STDERR_FILENO,
                             signals_->fd(),
                             setup_.channel,
                             setup_.wakeup,
                             logging::descriptor(),
                             setup_.access_log.descriptor()};
    for (const auto& listener : setup_.listeners)
        keep.push_back(listener->fd());
    std::sort(keep.begin(), keep.end());
    unsigned next = 0;
    for (const int fd : keep) {
        if (fd < 0)
            continue;
        const auto ours = static_cast<unsigned>(fd);
        if (ours > next)
            close_descriptors(next, ours - 1);
        next = std::max(next, ours + 1);
    }
    close_descriptors(next, UINT_MAX);
}

bool Worker::parent_alive() const
{
    return ::getppid() == setup_.arbiter;
}

Duration Worker::longest_wait() const
{
    return pool().timeout.count() > 0 ? pool().timeout / 2 : wait_without_timeout;
}

bool Worker::admits(int connection, bool tcp)
{
    const auto stranger = peers_.stranger(connection, tcp);
    if (!stranger)
        return true;
    if (const auto held = strangers_.pass(Clock::now()))
        logging::warning("[%s] a connection was refused: %s is not in %s%s",
                         pool().name.c_str(),
                         stranger->c_str(),
                         tcp ? "allowed_clients" : "allowed_users",
                         Throttle::describe(*held).c_str());
    return false;
}

void Worker::take_signals()
{
    while (const auto signal = signals_->next()) {
        switch (signal->number) {
        case SIGTERM: retiring_ = true; break;
        case SIGINT:
        case SIGQUIT:
            if (!stopping_ && !parent_alive())
                logging::warning("[%s] the arbiter is gone, stopping", pool().name.c_str());
            retiring_ = stopping_ = true;
            break;
        default: break;  // the arbiter's business, in case somebody signals the whole group
        }
    }
}

void Worker::take_messages()
{
    while (auto message = receive(setup_.channel)) {
        switch (message->kind) {
        case Message::error_log: logging::adopt(std::move(message->fd)); break;
        case Message::access_log: setup_.access_log.adopt(std::move(message->fd)); break;
        case Message::stay: asking_ = false; break;
        case Message::last: last_.push_back(net::Listener::adopt(std::move(message->fd))); break;
        }
    }
    // The arbiter is gone: an end that is always readable would keep the worker awake.
    char byte = 0;
    if (::recv(setup_.channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        ::close(std::exchange(setup_.channel, -1));
}

void Worker::wake_arbiter() const
{
    ::eventfd_write(setup_.wakeup, 1);
}

void Worker::ask_to_go()
{
    logging::info("[%s] worker %d has served %llu requests and asks to be replaced",
                  pool().name.c_str(),
                  ::getpid(),
                  static_cast<unsigned long long>(served_));
    asking_ = true;
    setup_.slot.ask_to_go();
    wake_arbiter();
}

void Worker::request_served(const handler::Outcome& outcome,
                            const fcgi::Params& params,
                            TimePoint started)
{
    setup_.slot.end_request(Clock::now());
    ++served_;
    if (max_requests_ > 0 && served_ == max_requests_ && !retiring_)
        ask_to_go();
    if (!setup_.access_log.enabled())
        return;
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started);
    AccessEntry entry{.params = params,
                      .pool = pool().name,
                      .script = outcome.script,
                      .status = outcome.status,
                      .header = outcome.header,
                      .bytes = outcome.body_bytes,
                      .start = std::chrono::system_clock::now() - elapsed,
                      .elapsed = elapsed,
                      .program_time = outcome.program_time,
                      .exit_status = {},
                      .exit_signal = {},
                      .worker = ::getpid()};
    if (outcome.exit)
        (outcome.exit->signalled ? entry.exit_signal : entry.exit_status) = outcome.exit->code;
    setup_.access_log.write(entry);
}

}  // namespace server
