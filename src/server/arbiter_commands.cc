// What administrators ask for, by signals and by tricornctl(1); arbiter.cc has the process model.
#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "log/log.h"
#include "net/notify.h"
#include "server/arbiter.h"
#include "server/channel.h"

#include <algorithm>
#include <csignal>
#include <set>
#include <sstream>

#include <unistd.h>

namespace server {

namespace {

void log_lines(const char* text)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        logging::error("%s", line.c_str());
}

}  // namespace

// --- reload -------------------------------------------------------------------------------------

// A mistake of any kind leaves the present configuration at work.
void Arbiter::reload()
{
    if (mode_ != Mode::serving)
        return;
    net::notify::reloading();
    Services next;
    try {
        config::Loaded fresh = config::load(loaded_.invocation);
        const std::string& control = fresh.config.global.control;
        auto control_socket = control_.prepare(control);
        auto open = listeners_of(services_);
        open.insert(open.end(), handed_over_.begin(), handed_over_.end());
        next = open_services(fresh.config, activated_, open);
        const bool moved = fresh.config.global.pid != loaded_.config.global.pid;
        PidFile pid_file = moved ? make_pid_file(fresh.config.global) : PidFile();
        open_log(fresh.config.global);
        if (moved)
            std::swap(pid_file_, pid_file);
        control_.use(control, std::move(control_socket));
        commit(std::move(fresh), std::move(next));
    } catch (const std::exception& error) {
        close_unshared(next, services_);
        reload_error_ = error.what();
        log_lines(error.what());
        logging::error("the configuration was not reloaded, the old one stays in use");
        hooks_.reload_failed();
        net::notify::ready("The last reload failed, see the log; the old configuration is in use");
    }
}

void Arbiter::commit(config::Loaded fresh, Services next)
{
    for (const std::string& warning : fresh.warnings)
        logging::warning("%s", warning.c_str());
    if (fresh.config.global.daemon != loaded_.config.global.daemon)
        logging::warning("daemon does not change by a reload: start the server anew");
    const bool kept = keep_unchanged(fresh.config.global, next);
    for (const auto& service : services_) {
        const auto same = find_service(next, service->config.name);
        if (same == service)
            continue;
        if (same) {
            same->policy.take_over(service->policy);
            same->previous = service->previous ? service->previous : service;
        } else {
            removed_.push_back(service);
            logging::info("[%s] is no pool any more", service->config.name.c_str());
        }
    }
    // A pool that is back is not removed any more: its new Service retires the old workers.
    std::erase_if(removed_, [&](const auto& service) {
        return find_service(next, service->config.name) != nullptr;
    });
    give_up_listeners(next);
    services_ = std::move(next);
    apply_options(services_, activated_);
    loaded_ = std::move(fresh);
    hooks_.configure(loaded_.config.global);
    ready_ = false;
    persistent_ = true;
    reload_error_.clear();
    logging::info("configuration reloaded");
    if (kept)
        reopen_logs();  // as all the others do by their start
}

// Those that the next configuration does not have. The new server of an upgrade may have them
// still.
void Arbiter::give_up_listeners(const Services& next)
{
    for (const SharedListener& listener : given_away_)
        if (!shares(next, listener))
            listener->disown();
    for (const CrewMember& worker : crew_->members())
        for (const SharedListener& listener : worker.service->listeners)
            if (!shares(next, listener))
                send(worker.channel.get(), Message::last, listener->fd());
    close_unshared(services_, next);
}

// Pools that are as before keep their workers, with all that these have in hand. When nothing has
// changed at all, fresh workers are what was asked for.
bool Arbiter::keep_unchanged(const config::Global& global, Services& next) const
{
    const config::Global& before = loaded_.config.global;
    if (global.error_log != before.error_log || global.log_level != before.log_level ||
        global.log_syslog != before.log_syslog)
        return false;
    std::vector<std::shared_ptr<Service>> kept;  // one for each of next; empty: none
    for (const auto& service : next) {
        const auto same = find_service(services_, service->config.name);
        kept.push_back(same && same->same_as(*service) ? same : nullptr);
    }
    const auto unchanged = std::ssize(kept) - std::ranges::count(kept, nullptr);
    if (unchanged == std::ssize(next) && next.size() == services_.size())
        return false;
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (kept[i]) {
            logging::info("[%s] has not changed", kept[i]->config.name.c_str());
            next[i] = kept[i];
            next[i]->policy.resize(next[i]->config.workers);  // TTIN and the like are over
        }
    return unchanged > 0;
}

// --- upgrade ------------------------------------------------------------------------------------

// The old server or the new one may have ended, or have become ready, just before the signal that
// is to be handled.
void Arbiter::look_at_other_server()
{
    successor_.listen();
    reap_workers();
    switch (predecessor_.listen()) {
    case Predecessor::News::none: break;
    case Predecessor::News::gave_way: become_main(); break;
    case Predecessor::News::gone: take_over(); break;
    }
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
               ", is still there: TERM to it completes the upgrade";
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

// Or is about to: it still serves while on_stop runs.
bool Arbiter::is_stopping() const
{
    return mode_ != Mode::serving || hooks_.stop_runs() || stop_waits_;
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

// The new server has ended, what was given to it is this one's alone.
void Arbiter::take_back()
{
    for (const SharedListener& listener : given_away_) {
        listener->claim();
        if (!shares(services_, listener))
            listener->unlink_if_ours();
    }
    given_away_.clear();
}

// The reaper asks whether this child was the new server.
bool Arbiter::successor_ended(pid_t pid, const ExitStatus& status)
{
    if (!successor_.ended(pid, status))
        return false;
    if (const std::string& path = loaded_.config.global.pid; !path.empty())
        PidFile::remove(path + ".2", pid);  // it may not have had the time
    if (mode_ == Mode::serving && !stop_waits_) {
        logging::info("this server goes on");
        take_back();
        for (const auto& service : services_)
            if (service->policy.limit() == 0)  // WINCH had left it to the new one
                service->policy.resize(service->config.workers);
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
    const std::vector<SharedListener> used = listeners_of(services_);
    for (const SharedListener& listener : handed_over_) {
        listener->claim();
        if (std::find(used.begin(), used.end(), listener) == used.end())
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

// --- the rest -----------------------------------------------------------------------------------

// Answers which could not be; empty: none. The new server of an upgrade has the same logs.
std::string Arbiter::reopen_logs()
{
    std::string problems;
    const auto add = [&problems](const std::string& problem) {
        problems += (problems.empty() || problem.empty() ? "" : "\n") + problem;
    };
    add(logging::reopen());
    std::set<Service*> all;
    for (const auto& service : services_)
        all.insert(service.get());
    for (const CrewMember& worker : crew_->members())
        all.insert(worker.service.get());
    for (Service* const service : all)
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
        if (successor_.running())
            give_way();
        close_unshared(services_, {});
        activated_.clear();
        for_each_service([](const auto& service) { service->policy.retire_all(); });
        mode_ = Mode::draining;
        set_process_title(stopping_title);
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
