// SIGHUP: the configuration read anew, beside the one that serves.
#include "log/log.h"
#include "net/notify.h"
#include "server/arbiter.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace server {

namespace {

void log_lines(const char* text)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        logging::error("%s", line.c_str());
}

}  // namespace

// A mistake of any kind leaves the present configuration at work.
void Arbiter::reload()
{
    if (mode_ != Mode::serving)
        return;
    crew_->note_booted(Clock::now());
    report();  // that it is ready, if it is by now
    if (has_served_)
        net::notify::reloading();
    Services next;
    try {
        config::Loaded fresh = config::load(loaded_.invocation);
        const std::string& control = fresh.config.global.control;
        auto control_socket = control_.prepare(control);
        next = open_services(fresh.config, activated_, open_listeners());
        const std::string& pid = fresh.config.global.pid;
        const bool moved = pid != loaded_.config.global.pid && !pid_file_.is_file(pid);
        PidFile pid_file = moved ? make_pid_file(fresh.config.global) : PidFile();
        open_log(fresh.config.global);
        if (moved)
            std::swap(pid_file_, pid_file);
        control_.use(control, std::move(control_socket));
        commit(std::move(fresh), std::move(next));
    } catch (const std::exception& error) {
        for (const SharedListener& listener : listeners_of(next))
            if (!in_use(listener))
                listener->unlink_if_ours();
        reload_error_ = error.what();
        log_lines(error.what());
        logging::error("the configuration was not reloaded, the old one stays in use");
        hooks_.reload_failed();
        if (has_served_)
            net::notify::ready(
                "The last reload failed, see the log; the old configuration is in use");
    }
}

void Arbiter::commit(config::Loaded fresh, Services next)
{
    for (const std::string& warning : fresh.warnings)
        logging::warning("%s", warning.c_str());
    if (fresh.config.global.daemon != loaded_.config.global.daemon)
        logging::warning("daemon does not change by a reload: start the server anew");
    const bool kept = keep_unchanged(fresh.config.global, next);
    replace_services(std::move(next));
    apply_options(services_, activated_);
    loaded_ = std::move(fresh);
    hooks_.configure(loaded_.config.global);
    ready_ = false;
    reload_error_.clear();
    boot_error_.clear();
    logging::info("configuration reloaded");
    if (kept)
        reopen_logs();  // as all the others do by their start
}

// The old ones serve on until the new ones do.
void Arbiter::replace_services(Services next)
{
    for (const auto& service : services_) {
        const auto same = find_service(next, service->config.name);
        if (!same) {
            removed_.push_back(service);
            logging::info("[%s] is no pool any more", service->config.name.c_str());
        } else if (same != service) {
            same->policy.take_over(service->policy);
            same->previous = service->previous ? service->previous : service;
        }
    }
    // A pool that is back is not removed any more: its new Service retires the old workers.
    std::erase_if(removed_, [&](const auto& service) {
        const auto back = find_service(next, service->config.name);
        if (back && !back->previous)
            back->previous = service;
        return back != nullptr;
    });
    const Services before = std::exchange(services_, std::move(next));
    for (const auto& service : before)
        if (service->previous)  // it has never served, and nothing waits for it
            give_up_listeners(*service);
    disown_unused();
}

// The socket files of a configuration that serves no more, but for those that are in use.
void Arbiter::give_up_listeners(const Service& old)
{
    for (const SharedListener& listener : old.listeners)
        if (!in_use(listener))
            listener->unlink_if_ours();
}

// Services that have workers, or may get some: the present ones, and old ones until they are gone.
std::set<Service*> Arbiter::living_services() const
{
    std::set<Service*> living;
    for (const Services* services : {&services_, &removed_})
        for (const auto& service : *services)
            for (Service* each = service.get(); each != nullptr; each = each->previous.get())
                living.insert(each);
    for (const CrewMember& worker : crew_->members())
        living.insert(worker.service.get());
    return living;
}

// By the present configuration, or by what serves until that one does.
bool Arbiter::in_use(const SharedListener& listener) const
{
    const auto listens = [&](const std::shared_ptr<Service>& service) {
        for (const Service* each = service.get(); each != nullptr; each = each->previous.get())
            if (listens_at(*each, listener))
                return true;
        return false;
    };
    return std::ranges::any_of(services_, listens) ||
           std::ranges::any_of(removed_, [&](const auto& removed) {
               return removed->policy.limit() > 0 && listens(removed);
           });
}

// What a reload can take over: also from workers that finish their requests.
std::vector<SharedListener> Arbiter::open_listeners() const
{
    std::vector<SharedListener> open = handed_over_;
    open.insert(open.end(), given_away_.begin(), given_away_.end());
    for (const Service* const service : living_services())
        open.insert(open.end(), service->listeners.begin(), service->listeners.end());
    return open;
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

}  // namespace server
