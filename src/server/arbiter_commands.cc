// What administrators ask for, by signals and by tricornctl(1); arbiter.cc has the process model.
#include "base/process.h"
#include "base/text.h"
#include "log/log.h"
#include "net/notify.h"
#include "server/arbiter.h"
#include "server/channel.h"

#include <csignal>

#include <unistd.h>

namespace server {

// Answers which could not be; empty: none. The new server of an upgrade has the same logs.
std::string Arbiter::reopen_logs()
{
    std::string problems;
    const auto add = [&problems](const std::string& problem) {
        problems += (problems.empty() || problem.empty() ? "" : "\n") + problem;
    };
    add(logging::reopen());
    for (Service* const service : living_services())
        add(service->access_log.reopen());
    for (const CrewMember& worker : crew_->members()) {
        if (const UniqueFd log = logging::share())
            send(worker.channel.get(), Message::error_log, log.get());
        if (const UniqueFd log = worker.service->access_log.share())
            send(worker.channel.get(), Message::access_log, log.get());
    }
    if (successor_.ready())
        ::kill(successor_.pid(), SIGUSR1);
    if (problems.empty())
        logging::info("logs reopened");
    return problems;
}

// Or is about to: it still serves while on_stop runs.
bool Arbiter::is_stopping() const
{
    return mode_ != Mode::serving || hooks_.stop_runs() || stop_waits_;
}

void Arbiter::resize(bool more)
{
    for (const auto& service : services_) {
        const int before = service->policy.limit();
        more ? service->policy.grow() : service->policy.shrink();
        const int now = service->policy.limit();
        logging::info("[%s] %s%s",
                      service->config.name.c_str(),
                      text::counted(now, "worker").c_str(),
                      now == before ? " as before: there is no fewer" : " from now on");
    }
}

// As TERM does; the second one is meant, whatever becomes of the new server.
void Arbiter::terminate()
{
    look_at_other_server();
    // This one stops already, and whoever stops the container means the one that serves.
    if (mode_ != Mode::serving && successor_.running() && in_container())
        ::kill(successor_.pid(), SIGTERM);
    const std::string obstacle = too_early_to_stop();
    if (obstacle.empty() || stop_waits_) {
        stop(true);
        return;
    }
    stop_waits_ = true;
    roll_back_ = false;
    logging::warning("%s: this one stops when it is, or has ended; another SIGTERM stops it now",
                     obstacle.c_str());
}

// A graceful stop that had to wait for the new server, or for on_stop.
void Arbiter::go_on_stopping()
{
    if (mode_ != Mode::serving)
        return;
    look_at_other_server();
    const bool waited = stop_waits_ && !successor_.starting();
    if (waited) {
        stop_waits_ = false;
        logging::info("stopping as told: the new server %s",
                      successor_.ready() ? "is ready" : "has ended");
    }
    if (waited || hooks_.stop_over())
        stop(true);
}

void Arbiter::close_listeners()
{
    for (Service* const service : living_services()) {
        for (const SharedListener& listener : service->listeners)
            listener->unlink_if_ours();
        service->listeners.clear();
    }
    activated_.clear();
}

// What the other server has done is known: stop() may be called while children are reaped.
// Gracefully: workers finish what they have, once on_stop has told whoever sends requests. At once:
// their requests are ended; this also hurries a graceful stop that is under way.
void Arbiter::stop(bool graceful)
{
    if (mode_ == Mode::serving && !successor_.running())
        net::notify::stopping();
    hooks_.stop(graceful, successor_.running() || predecessor_.goes_on());
    if (graceful && hooks_.stop_runs())
        return;
    if (mode_ == Mode::serving) {
        roll_back_ = false;
        set_process_title(stopping_title);  // first: it is what the other servers see
        if (successor_.running())
            give_way();
        close_listeners();
        for_each_service([](const auto& service) { service->policy.retire_all(); });
        mode_ = Mode::draining;
        logging::info("stopping %s", text::counted(crew_->size(), "worker").c_str());
    }
    if (graceful || mode_ == Mode::stopping)
        return;
    mode_ = Mode::stopping;
    const TimePoint now = Clock::now();
    std::vector<pid_t> all;
    for (const CrewMember& worker : crew_->members())
        all.push_back(worker.state.pid);
    for (const pid_t pid : all)
        crew_->hurry(pid, now);
}

}  // namespace server
