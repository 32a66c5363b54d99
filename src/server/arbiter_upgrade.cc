// SIGUSR2: the new server beside the old one, seen from both.
#include "log/log.h"
#include "net/notify.h"
#include "server/arbiter.h"

#include <algorithm>
#include <csignal>

#include <unistd.h>

namespace server {

// The old server or the new one may have ended, or have become ready, just before the signal that
// is to be handled.
void Arbiter::look_at_other_server()
{
    successor_.listen();
    reap_workers();
    // It may have given way and gone since the last look.
    for (auto news = predecessor_.listen(); news != Predecessor::News::none;
         news = predecessor_.listen())
        news == Predecessor::News::gone ? take_over() : become_main();
}

// Starts a new server beside this one. Answers what is in the way; empty: nothing.
std::string Arbiter::upgrade()
{
    look_at_other_server();
    if (is_stopping())
        return "the server is stopping";
    if (successor_.running())
        return "the new server, process " + std::to_string(successor_.pid()) +
               (successor_.ready() ? ", runs already: TERM to process " +
                                         std::to_string(::getpid()) + " completes the upgrade"
                                   : ", runs already and is not ready yet: wait for it") +
               "; TERM to that one takes it back";
    if (predecessor_.exists())
        return "the old server, process " + std::to_string(predecessor_.pid()) +
               (predecessor_.goes_on() ? ", is still there: TERM to it completes the upgrade"
                                       : ", has not finished its requests yet: wait until it has");
    std::vector<HandedSocket> sockets;
    for (const ActivatedSocket& socket : activated_)
        sockets.push_back({socket.listener->fd(), socket.name});
    given_away_ = listeners_of(services_);
    std::erase_if(given_away_, [&](const SharedListener& listener) {
        return std::ranges::find(activated_, listener, &ActivatedSocket::listener) !=
               activated_.end();
    });
    for (const SharedListener& listener : given_away_)
        sockets.push_back({listener->fd(), handed_name(*listener)});
    try {
        successor_.start(loaded_.invocation, sockets, daemon_.detached());
    } catch (const std::exception& error) {
        given_away_.clear();
        return error.what();
    }
    logging::info("the new server is process %d", successor_.pid());
    return {};
}

// Why a graceful stop has to wait: if the new server fails now, nobody is left. Empty: it has not.
std::string Arbiter::too_early_to_stop() const
{
    if (mode_ != Mode::serving || !successor_.starting())
        return {};
    return "the new server, process " + std::to_string(successor_.pid()) + ", is not ready yet";
}

// The new server goes on with what was this one's.
void Arbiter::give_way()
{
    for (const SharedListener& listener : given_away_)
        listener->disown();
    net::notify::main_pid(successor_.pid());
    successor_.tell_main();
    next_watchdog_ = never;  // it is the new one's from now on
    logging::info("leaving it to the new server, process %d", successor_.pid());
}

// Of what the new server has as well, what this one does not use any more is that one's.
void Arbiter::disown_unused()
{
    for (const SharedListener& listener : given_away_)
        if (!shares(services_, listener))
            listener->disown();
}

// The new server has ended, what was given to it is this one's alone.
void Arbiter::take_back()
{
    for (const SharedListener& listener : given_away_) {
        listener->claim();
        if (!in_use(listener))
            listener->unlink_if_ours();
    }
    given_away_.clear();
}

// Pools that WINCH had left to the new server.
void Arbiter::restart_retired()
{
    for (const auto& service : services_)
        if (service->policy.limit() == 0)
            service->policy.resize(service->config.workers);
}

// By its own workers, or by those of the configuration before as long as the new ones do not boot.
bool Arbiter::serves(const Service& service) const
{
    const TimePoint now = Clock::now();
    return service.policy.settled(crew_->states(service, now)) ||
           std::ranges::any_of(replaced_by(service, now), [](const WorkerState& worker) {
               return worker.booted && worker.retired == never;
           });
}

// TERM to the new server, once this one has workers.
void Arbiter::go_on_rolling_back()
{
    const auto has_workers = [this](const auto& service) { return serves(*service); };
    if (!roll_back_ || !std::ranges::all_of(services_, has_workers))
        return;
    roll_back_ = false;
    if (successor_.running())
        ::kill(successor_.pid(), SIGTERM);
}

// The reaper asks whether this child was the new server.
bool Arbiter::successor_ended(pid_t pid, const ExitStatus& status)
{
    if (!successor_.ended(pid, status))
        return false;
    roll_back_ = false;
    if (const std::string& path = loaded_.config.global.pid; !path.empty())
        PidFile::remove(path + ".2", pid);  // it may not have had the time
    if (mode_ == Mode::serving && !stop_waits_) {
        logging::info("this server goes on");
        take_back();
        restart_retired();
        return true;
    }
    logging::error("no server is left when this one has stopped");
    take_back();
    return true;
}

// The old server has gone.
void Arbiter::take_over()
{
    logging::info("the old server has gone, this one goes on without it");
    predecessor_.forget();
    for (const SharedListener& listener : handed_over_) {
        listener->claim();
        if (!in_use(listener))
            listener->unlink_if_ours();
    }
    handed_over_.clear();
    apply_options(services_, activated_);
    try {
        pid_file_.move_to(loaded_.config.global.pid);
    } catch (const std::exception& error) {
        logging::error("%s", error.what());
    }
    control_.retry_now();
    become_main();
}

// The service manager listens to this server now, and has missed its signs of life.
void Arbiter::become_main()
{
    net::notify::main_pid(::getpid());
    if (net::notify::watchdog_interval())
        next_watchdog_ = Clock::now();
    if (ready_)
        net::notify::ready(summary());
}

}  // namespace server
