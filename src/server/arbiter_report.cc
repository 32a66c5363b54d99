// What the arbiter tells of the load and of itself, to the log and to the service manager.
#include "base/error.h"
#include "base/text.h"
#include "log/log.h"
#include "net/notify.h"
#include "server/arbiter.h"
#include "server/status.h"

#include <algorithm>

#include <poll.h>
#include <unistd.h>

namespace server {

namespace {

// What no event tells is looked for this often.
constexpr Duration look_interval{1'000};

// As php-fpm's systemd_interval.
constexpr Duration summary_interval{10'000};

std::string describe_full(const Service& service)
{
    const int workers = service.policy.limit();
    const auto backlog = backlog_of(service);
    const int waiting = backlog ? static_cast<int>(backlog->waiting) : 0;
    return "[" + service.config.name + "] " +
           (workers == 1 ? "its worker is" : "all " + text::counted(workers, "worker") + " are") +
           " busy and " +
           (waiting == 1  ? "1 connection waits"
            : waiting > 1 ? std::to_string(waiting) + " connections wait"
                          : "connections wait") +
           ": more workers, or less for them to do";
}

}  // namespace

// Once a second: what no event tells.
void Arbiter::look_around()
{
    const TimePoint now = Clock::now();
    if (now < next_look_)
        return;
    next_look_ = now + look_interval;
    crew_->measure_memory();
    report_load(now);
    for (const auto& service : services_) {
        if (!service->policy.saturated(crew_->states(*service, now)) || !connection_waits(*service))
            continue;
        if (service->policy.note_full(now))
            logging::warning("%s", describe_full(*service).c_str());
    }
}

bool Arbiter::connection_waits(const Service& service)
{
    std::vector<pollfd> set;
    for (const SharedListener& listener : service.listeners)
        set.push_back({listener->fd(), POLLIN, 0});
    return ::poll(set.data(), set.size(), 0) > 0;
}

// Tells the service manager, and whoever waits for the daemon, that the server is ready.
void Arbiter::report()
{
    const TimePoint now = Clock::now();
    if (now >= next_watchdog_) {
        net::notify::watchdog();
        next_watchdog_ = now + net::notify::watchdog_interval().value_or(look_interval);
    }
    if (ready_ || mode_ != Mode::serving)
        return;
    if (!all_settled())
        return;
    ready_ = true;
    if (has_served_) {
        ++reloads_;
        boot_error_.clear();
    }
    if (daemon_.detached())
        net::notify::main_pid(::getpid());
    daemon_.report(exit_ok);
    has_served_ = true;
    predecessor_.tell_ready();
    net::notify::ready(summary());
    logging::info("ready%s", predecessor_.exists() ? ", beside the old server" : "");
    hooks_.ready();
}

bool Arbiter::all_settled() const
{
    const TimePoint now = Clock::now();
    return std::ranges::all_of(services_, [&](const auto& service) {
        return service->policy.settled(crew_->states(*service, now));
    });
}

// One line for `systemctl status`: "www 1 busy, 3 idle, 120 requests; git 0 busy, 2 idle, ...".
std::string Arbiter::summary() const
{
    std::string text;
    for (const control::PoolStatus& pool : pools_status(services_, removed_, *crew_, history_)) {
        text += text.empty() ? "" : "; ";
        text += pool.name + " " + std::to_string(pool.busy) + " busy, " +
                std::to_string(pool.idle) + " idle, " + std::to_string(pool.requests) +
                (pool.requests == 1 ? " request" : " requests");
        if (pool.full > 0)
            text += ", full for " + std::to_string(pool.full) + " s";
    }
    return text;
}

// The service manager hears of the load now and then, and of nothing else while there is none.
void Arbiter::report_load(TimePoint now)
{
    if (now < next_summary_ || !ready_ || mode_ != Mode::serving)
        return;
    next_summary_ = now + summary_interval;
    if (const std::string text = summary(); text != last_summary_) {
        net::notify::status(text);
        last_summary_ = text;
    }
}

}  // namespace server
