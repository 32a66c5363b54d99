#include "server/arbiter.h"

#include "base/error.h"
#include "base/process.h"
#include "log/log.h"
#include "net/notify.h"
#include "server/channel.h"

#include <algorithm>
#include <csignal>
#include <sstream>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace server {

namespace {

// The longest sleep of the arbiter: how late it can be in noticing a silent worker.
constexpr Duration tick{1'000};

// A first boot that crashes is tried again until the back-off reaches this: 15 s in all.
constexpr Duration patience{8'000};

// Between two warnings of the same kind.
constexpr Duration quiet_time{60'000};

logging::Target log_target(const config::Global& global, bool detached)
{
    logging::Target target;
    target.file = global.error_log;
    // A daemon has no stderr, and whoever started it may wait for the end of its output.
    target.syslog = global.log_syslog || (detached && global.error_log == "-");
    target.level = logging::parse_level(global.log_level).value_or(logging::Level::info);
    return target;
}

void log_lines(const char* text)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        logging::error("%s", line.c_str());
}

}  // namespace

Arbiter::Arbiter(config::Loaded loaded, Daemon& daemon)
    : loaded_(std::move(loaded)), daemon_(daemon)
{
}

int Arbiter::run()
{
    start();
    while (mode_ == Mode::serving || !crew_->empty() || !hooks_.empty()) {
        look_around();
        manage_workers();
        sleep();
        take_signals();
        control_.serve(Clock::now());
        crew_->note_booted(Clock::now());
        crew_->forgive_pause(Clock::now());
        murder_workers();
        hooks_.tend(Clock::now());
        if (mode_ == Mode::serving && hooks_.stop_over())
            stop(true);
        report();
    }
    logging::info("stopped");
    daemon_.report(exit_code_);  // too late for one that has served
    return exit_code_;
}

// --- start --------------------------------------------------------------------------------------

void Arbiter::start()
{
    logging::open(log_target(loaded_.config.global, daemon_.detached()));
    for (const std::string& warning : loaded_.warnings)
        logging::warning("%s", warning.c_str());
    logging::info("tricorn " PACKAGE_VERSION " starts, process %d", ::getpid());
    if (!loaded_.config.global.pid.empty())
        pid_file_ = PidFile(loaded_.config.global.pid);
    hooks_.configure(loaded_.config.global);
    init_signals();
    const std::string& control = loaded_.config.global.control;
    control_.use(control, control_.prepare(control));
    create_listeners();
    set_process_title("tricorn: arbiter");
    // Programs that lose their worker become our children, so that none is left behind.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (const auto interval = net::notify::watchdog_interval())
        next_watchdog_ = Clock::now() + *interval;
}

void Arbiter::init_signals()
{
    signals_ = std::make_unique<SignalQueue>(std::initializer_list<int>{SIGTERM,
                                                                        SIGINT,
                                                                        SIGQUIT,
                                                                        SIGHUP,
                                                                        SIGTTIN,
                                                                        SIGTTOU,
                                                                        SIGUSR1,
                                                                        SIGUSR2,
                                                                        SIGWINCH,
                                                                        SIGCHLD,
                                                                        SIGALRM});
    wakeup_ = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!wakeup_)
        throw_errno("eventfd");
    crew_ = std::make_unique<Crew>(wakeup_.get(), daemon_.detached());
}

void Arbiter::create_listeners()
{
    activated_ = take_activated_sockets();
    services_ = open_services(loaded_.config, activated_, {});
}

// --- the loop -----------------------------------------------------------------------------------

void Arbiter::sleep()
{
    const TimePoint now = Clock::now();
    const TimePoint until = std::min({now + tick, next_watchdog_, hooks_.next_deadline()});
    std::vector<pollfd> set{{signals_->fd(), POLLIN, 0}, {wakeup_.get(), POLLIN, 0}};
    const auto demand = watch_demand(set);
    control_.watch(set, now);
    if (::poll(set.data(), set.size(), poll_timeout(until, now)) > 0)
        for (const auto& [service, place] : demand)
            if (set[place].revents != 0 &&
                service->policy.wants_connections(crew_->states(*service, now)))
                service->policy.connection_waits();
    eventfd_t count = 0;
    ::eventfd_read(wakeup_.get(), &count);
}

// Listeners of pools without an idle worker that may start one for the next connection.
std::vector<std::pair<Service*, std::size_t>> Arbiter::watch_demand(std::vector<pollfd>& set) const
{
    std::vector<std::pair<Service*, std::size_t>> demand;
    const TimePoint now = Clock::now();
    for (const auto& service : services_) {
        if (mode_ != Mode::serving ||
            !service->policy.wants_connections(crew_->states(*service, now)))
            continue;
        for (const SharedListener& listener : service->listeners) {
            demand.emplace_back(service.get(), set.size());
            set.push_back({listener->fd(), POLLIN, 0});
        }
    }
    return demand;
}

void Arbiter::take_signals()
{
    while (const auto signo = signals_->next())
        handle_signal(*signo);
}

// As SIGNALS in tricorn(8).
void Arbiter::handle_signal(int signo)
{
    const bool noise = signo == SIGCHLD || (signo == SIGWINCH && !daemon_.detached());
    logging::write(noise ? logging::Level::debug : logging::Level::info,
                   "received " + signal_name(signo));
    switch (signo) {
    case SIGCHLD: reap_workers(); break;
    case SIGTERM: stop(true); break;
    case SIGINT:
    case SIGQUIT: stop(false); break;
    case SIGHUP: reload(); break;
    case SIGTTIN: resize(true); break;
    case SIGTTOU: resize(false); break;
    case SIGUSR1: reopen_logs(); break;
    case SIGUSR2: logging::warning("SIGUSR2: upgrading in place is not supported yet"); break;
    case SIGWINCH:
        if (!daemon_.detached())
            logging::debug("SIGWINCH is for daemons: a terminal was resized");
        else
            for (const auto& service : services_)
                service->policy.retire_all();
        break;
    default: break;
    }
}

// --- workers ------------------------------------------------------------------------------------

void Arbiter::manage_workers()
{
    const TimePoint now = Clock::now();
    for_each_service([&](const std::shared_ptr<Service>& service) {
        const Plan plan = service->policy.plan(now, crew_->states(*service, now));
        if (plan.hurried_spawn > 0)
            logging::warning("[%s] is busy, %d more workers at once: more min_spare would spare it "
                             "the wait",
                             service->config.name.c_str(),
                             plan.hurried_spawn);
        if (mode_ == Mode::serving)
            spawn_workers(service, plan.spawn);
        for (const pid_t pid : plan.retire)
            crew_->retire(pid, now);
        for (const pid_t pid : plan.keep)
            crew_->keep(pid);
    });
    std::erase_if(removed_,
                  [&](const auto& service) { return crew_->states(*service, now).empty(); });
}

void Arbiter::spawn_workers(const std::shared_ptr<Service>& service, int count)
{
    for (int i = 0; i < count; ++i) {
        if (!make_room(*service))
            return;
        if (!crew_->spawn(service)) {
            service->policy.worker_failed(Clock::now());
            return;
        }
    }
}

// False when there are as many workers as max_processes allows. One of the configuration before
// goes then, as the new one could never begin.
bool Arbiter::make_room(const Service& service)
{
    const int most = loaded_.config.global.max_processes;
    if (most == 0 || crew_->size() < most)
        return true;
    const TimePoint now = Clock::now();
    if (now >= room_warning_after_)
        logging::warning("[%s] gets no more workers: there are %d, as max_processes allows",
                         service.config.name.c_str(),
                         crew_->size());
    room_warning_after_ = now + quiet_time;
    const auto states = crew_->states(service, now);
    const auto old = std::find_if(states.begin(), states.end(), [](const WorkerState& worker) {
        return !worker.current && worker.retired == never;
    });
    const bool leaving = std::any_of(states.begin(), states.end(), [](const WorkerState& worker) {
        return !worker.current && worker.retired != never;
    });
    if (old != states.end() && !leaving)
        crew_->retire(old->pid, now);
    return false;
}

// Once a second: what no event tells.
void Arbiter::look_around()
{
    const TimePoint now = Clock::now();
    if (now < next_look_)
        return;
    next_look_ = now + tick;
    crew_->measure_memory();
    for (const auto& service : services_) {
        if (!service->policy.saturated(crew_->states(*service, now)) || !connection_waits(*service))
            continue;
        if (service->policy.note_full(now))
            logging::warning("[%s] all %d workers are busy and connections wait: more workers, or "
                             "less for them to do",
                             service->config.name.c_str(),
                             service->policy.limit());
    }
}

bool Arbiter::connection_waits(const Service& service)
{
    std::vector<pollfd> set;
    for (const SharedListener& listener : service.listeners)
        set.push_back({listener->fd(), POLLIN, 0});
    return ::poll(set.data(), set.size(), 0) > 0;
}

// Workers that are silent, or that take too long to end.
void Arbiter::murder_workers()
{
    const TimePoint now = Clock::now();
    for_each_service([&](const std::shared_ptr<Service>& service) {
        const Plan plan = service->policy.overdue(now, crew_->states(*service, now));
        for (const pid_t pid : plan.hurry) {
            logging::warning("[%s] worker %d has not finished in graceful_timeout",
                             service->config.name.c_str(),
                             pid);
            crew_->hurry(pid, now);
        }
        for (const pid_t pid : plan.abort)
            crew_->abort(pid, now);
        for (const pid_t pid : plan.kill)
            crew_->kill(pid);
    });
}

void Arbiter::for_each_service(const std::function<void(const std::shared_ptr<Service>&)>& act)
{
    for (const Services* services : {&services_, &removed_})
        for (const auto& service : *services)
            act(service);
}

void Arbiter::reap_workers()
{
    crew_->note_booted(Clock::now());  // what a worker managed before it ended counts
    crew_->reap([this](const CrewMember& worker,
                       const ExitStatus& status) { worker_exited(worker, status); },
                [this](pid_t pid, const ExitStatus& status) { return hooks_.ended(pid, status); });
}

void Arbiter::worker_exited(const CrewMember& worker, const ExitStatus& status)
{
    const WorkerReport report = worker.slot->report(Clock::now());
    history_.worker_ended(worker, status);
    hooks_.worker_exited(worker.service->config.name, worker.state.pid, report.requests, status);
    if (status.clean()) {
        logging::info("%s has ended", worker.name().c_str());
        return;
    }
    std::string text = worker.name() + " " + describe(status);
    if (status.signalled && status.code == SIGKILL)
        text += worker.killed ? " by the arbiter" : ", not by the arbiter: out of memory?";
    if (report.busy)
        text += " while it served " + report.request + " with " + report.script;
    logging::write(worker.killed ? logging::Level::warning : logging::Level::error, text);

    const bool told = worker.state.retired != never || worker.state.hurried != never;
    if (!told && !worker.proven && report.requests == 0)
        boot_failed(worker, status);
}

void Arbiter::boot_failed(const CrewMember& worker, const ExitStatus& status)
{
    Pool& policy = worker.service->policy;
    // A worker that says why it cannot boot will not do better next time. One that was killed may
    // have been unlucky; some seconds of it are enough.
    const bool told_why =
        !status.signalled && (status.code == exit_worker_boot || status.code == exit_handler_load);
    const bool hopeless = told_why || policy.backoff() >= patience;
    if (!worker.state.booted && !persistent_ && hopeless && mode_ == Mode::serving) {
        const bool load = !status.signalled && status.code == exit_handler_load;
        logging::critical("[%s] %s, giving up",
                          worker.service->config.name.c_str(),
                          load ? "the handler failed to load" : "the worker failed to boot");
        exit_code_ = load ? exit_handler_load : exit_worker_boot;
        stop(false);
        return;
    }
    policy.worker_failed(Clock::now());
    logging::error("[%s] the next worker is started in %lld s",
                   worker.service->config.name.c_str(),
                   static_cast<long long>(policy.backoff().count() / 1000));
    if (!ready_ && mode_ == Mode::serving)
        net::notify::status("New workers do not boot, see the log");
}

// --- what the administrator asks for ------------------------------------------------------------

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
        next = open_services(fresh.config, activated_, services_);
        const std::string& pid = fresh.config.global.pid;
        const bool moved = pid != loaded_.config.global.pid;
        PidFile pid_file = moved && !pid.empty() ? PidFile(pid) : PidFile();
        logging::open(log_target(fresh.config.global, daemon_.detached()));
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
    for (const auto& service : services_) {
        const auto same = std::find_if(next.begin(), next.end(), [&](const auto& other) {
            return other->config.name == service->config.name;
        });
        if (same != next.end()) {
            (*same)->policy.take_over(service->policy);
        } else {
            service->policy.retire_all();
            removed_.push_back(service);
            logging::info("[%s] is no pool any more", service->config.name.c_str());
        }
    }
    // A pool that is back is not removed any more: its new Service retires the old workers.
    std::erase_if(removed_, [&](const auto& service) {
        return std::any_of(next.begin(), next.end(), [&](const auto& other) {
            return other->config.name == service->config.name;
        });
    });
    close_unshared(services_, next);
    services_ = std::move(next);
    loaded_ = std::move(fresh);
    hooks_.configure(loaded_.config.global);
    ready_ = false;
    persistent_ = true;
    ++reloads_;
    reload_error_.clear();
    logging::info("configuration reloaded");
}

void Arbiter::reopen_logs()
{
    const UniqueFd error_log = logging::reopen();
    Services all = services_;
    for (const CrewMember& worker : crew_->members())
        if (std::find(all.begin(), all.end(), worker.service) == all.end())
            all.push_back(worker.service);
    for (const auto& service : all) {
        const UniqueFd access_log = service->access_log.reopen();
        for (const CrewMember& worker : crew_->members()) {
            if (worker.service != service)
                continue;
            if (error_log)
                send(worker.channel.get(), Message::error_log, error_log.get());
            if (access_log)
                send(worker.channel.get(), Message::access_log, access_log.get());
        }
    }
    logging::info("logs reopened");
}

void Arbiter::resize(bool more)
{
    for (const auto& service : services_) {
        const int before = service->policy.limit();
        more ? service->policy.grow() : service->policy.shrink();
        const int now = service->policy.limit();
        logging::info("[%s] %d worker%s%s",
                      service->config.name.c_str(),
                      now,
                      now == 1 ? "" : "s",
                      now == before ? " as before: there is no fewer" : " from now on");
    }
}

// Gracefully: workers finish what they have, once on_stop has told whoever sends requests. At once:
// their requests are ended; this also hurries a graceful stop that is under way.
void Arbiter::stop(bool graceful)
{
    if (mode_ == Mode::serving)
        net::notify::stopping();
    hooks_.stop(graceful);
    if (graceful && hooks_.stop_runs())
        return;
    if (mode_ == Mode::serving) {
        close_unshared(services_, {});
        activated_.clear();
        for (const auto& service : services_)
            service->policy.retire_all();
        mode_ = Mode::draining;
        logging::info("stopping %zu workers", crew_->members().size());
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

// Tells the service manager, and whoever waits for the daemon, that the server is ready.
void Arbiter::report()
{
    const TimePoint now = Clock::now();
    if (now >= next_watchdog_) {
        net::notify::watchdog();
        next_watchdog_ = now + net::notify::watchdog_interval().value_or(tick);
    }
    if (ready_ || mode_ != Mode::serving)
        return;
    int count = 0;
    for (const auto& service : services_) {
        if (!service->policy.settled(crew_->states(*service, now)))
            return;
        count += service->policy.target();
    }
    ready_ = true;
    if (daemon_.detached())
        net::notify::main_pid(::getpid());
    daemon_.report(exit_ok);
    persistent_ = true;
    const std::string text = "Serving " + std::to_string(services_.size()) +
                             (services_.size() == 1 ? " pool, " : " pools, ") +
                             std::to_string(count) + " workers";
    net::notify::ready(text);
    logging::info("ready");
    hooks_.ready();
}

}  // namespace server
