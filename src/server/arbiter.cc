#include "server/arbiter.h"

#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "log/log.h"
#include "net/notify.h"
#include "server/channel.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>
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

std::string sender_of(const Signal& signal)
{
    if (signal.sender == 0)
        return "";
    return " from process " + std::to_string(signal.sender) + ", user " +
           std::to_string(signal.user);
}

}  // namespace

Arbiter::Arbiter(config::Loaded loaded, Daemon& daemon, Predecessor predecessor)
    : loaded_(std::move(loaded)), daemon_(daemon), predecessor_(std::move(predecessor))
{
}

int Arbiter::run()
{
    start();
    while (mode_ == Mode::serving || !crew_->empty() || !hooks_.empty()) {
        look_at_other_server();
        look_around();
        manage_workers();
        sleep();
        take_signals();
        control_.serve(Clock::now());
        crew_->note_booted(Clock::now());
        crew_->forgive_pause(Clock::now());
        murder_workers();
        hooks_.tend(Clock::now());
        go_on_rolling_back();
        go_on_stopping();
        report();
    }
    logging::info("stopped");
    // Who waits for a daemon still does so if it has never been ready.
    daemon_.report(exit_code_ == exit_ok ? exit_failure : exit_code_);
    pid_file_ = PidFile();
    control_.close();
    // A container ends with its first process.
    if (successor_.running() && ::getpid() == 1) {
        given_away_.clear();  // the new server may close a socket: then nobody shall be let in
        return successor_.mind(*signals_);
    }
    return exit_code_;
}

// --- start --------------------------------------------------------------------------------------

void Arbiter::start()
{
    open_log(loaded_.config.global);
    for (const std::string& warning : loaded_.warnings)
        logging::warning("%s", warning.c_str());
    logging::info("tricorn " PACKAGE_VERSION " starts, process %d", ::getpid());
    init_signals();  // first: whoever reads the pid file may send one
    pid_file_ = make_pid_file(loaded_.config.global);
    hooks_.configure(loaded_.config.global);
    const std::string& control = loaded_.config.global.control;
    control_.use(control, control_.prepare(control));
    create_listeners();
    set_process_title(arbiter_title);
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
    GivenSockets given = take_given_sockets();
    activated_ = std::move(given.activated);
    handed_over_ = std::move(given.handed_over);
    services_ = open_services(loaded_.config, activated_, handed_over_);
}

void Arbiter::open_log(const config::Global& global)
{
    logging::open(log_target(global, daemon_.detached()));
}

// As long as the old server is there, its pid file is, too.
PidFile Arbiter::make_pid_file(const config::Global& global) const
{
    if (global.pid.empty())
        return PidFile();
    return PidFile(global.pid + (predecessor_.exists() ? ".2" : ""));
}

// --- the loop -----------------------------------------------------------------------------------

void Arbiter::sleep()
{
    const TimePoint now = Clock::now();
    const TimePoint until = std::min({now + tick, next_watchdog_, hooks_.next_deadline()});
    std::vector<pollfd> set{{signals_->fd(), POLLIN, 0},
                            {wakeup_.get(), POLLIN, 0},
                            {predecessor_.fd(), POLLIN, 0},
                            {successor_.fd(), POLLIN, 0}};
    const auto demand = watch_demand(set);
    control_.watch(set, now);
    if (::poll(set.data(), set.size(), poll_timeout(until, now)) > 0)
        for (const auto& [service, place] : demand)
            if (set[place].revents != 0 &&
                service->policy.wants_connections(now, crew_->states(*service, now)))
                service->policy.connection_waits();
    drain_wakeup();
}

// The workers share the open file: one of them could take its O_NONBLOCK away, and the arbiter
// would wait here for ever.
void Arbiter::drain_wakeup() const
{
    eventfd_t count = 0;
    const iovec into{&count, sizeof count};
    if (::preadv2(wakeup_.get(), &into, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP)
        ::eventfd_read(wakeup_.get(), &count);  // an old kernel
}

// Listeners of pools without an idle worker that may start one for the next connection.
std::vector<std::pair<Service*, std::size_t>> Arbiter::watch_demand(std::vector<pollfd>& set) const
{
    std::vector<std::pair<Service*, std::size_t>> demand;
    const TimePoint now = Clock::now();
    for (const auto& service : services_) {
        if (mode_ != Mode::serving ||
            !service->policy.wants_connections(now, crew_->states(*service, now)))
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
    while (const auto signal = signals_->next())
        handle_signal(*signal);
}

// As SIGNALS in tricorn(8).
void Arbiter::handle_signal(const Signal& signal)
{
    const int signo = signal.number;
    const bool noise = signo == SIGCHLD || (signo == SIGWINCH && !daemon_.detached());
    logging::write(noise ? logging::Level::debug : logging::Level::info,
                   "received " + signal_name(signo) + sender_of(signal));
    switch (signo) {
    case SIGCHLD: reap_workers(); break;
    case SIGTERM: terminate(); break;
    case SIGINT:
    case SIGQUIT:
        look_at_other_server();
        stop(false);
        break;
    case SIGHUP: reload(); break;
    case SIGTTIN: resize(true); break;
    case SIGTTOU: resize(false); break;
    case SIGUSR1: reopen_logs(); break;
    case SIGUSR2:
        if (const std::string refusal = upgrade(); !refusal.empty())
            logging::warning("no upgrade: %s", refusal.c_str());
        break;
    case SIGWINCH:
        if (!daemon_.detached() && !successor_.running())
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
    retire_removed(now);
    for_each_service([&](const std::shared_ptr<Service>& service) {
        const Plan plan = service->policy.plan(now, crew_->states(*service, now));
        if (plan.hurried_spawn > 0)
            logging::warning("[%s] is busy, starting %s at once: more min_spare would spare it "
                             "the wait",
                             service->config.name.c_str(),
                             text::counted(plan.hurried_spawn, "worker").c_str());
        if (mode_ == Mode::serving) {
            spawn_workers(service, plan.spawn);
            fall_back(*service);
        }
        for (const Retirement& retirement : plan.retire)
            retire(retirement);
        for (const pid_t pid : plan.keep)
            crew_->keep(pid);
    });
    std::erase_if(removed_, [&](const auto& service) {
        return service->policy.limit() == 0 && crew_->states(*service, now).empty();
    });
}

// A pool that was taken away, or renamed, serves where another one listens until that one serves.
void Arbiter::retire_removed(TimePoint now)
{
    for (const auto& removed : removed_) {
        const auto awaited = [&](const auto& service) {
            return is_heir(*service, *removed) &&
                   !service->policy.settled(crew_->states(*service, now));
        };
        if (removed->policy.limit() > 0 && std::ranges::none_of(services_, awaited)) {
            removed->policy.retire_all();
            const auto previous = std::exchange(removed->previous, nullptr);
            give_up_listeners(*removed);
            if (previous)
                give_up_listeners(*previous);
        }
    }
}

// Those who wait where nobody listens any more are for the workers that did.
void Arbiter::retire(const Retirement& retirement)
{
    const CrewMember& worker = crew_->member(retirement.pid);
    if (mode_ == Mode::serving)
        for (const SharedListener& listener : worker.service->listeners)
            if (!shares(services_, listener))
                send(worker.channel.get(), Message::last, listener->fd());
    crew_->retire(retirement, Clock::now());
}

// While the new workers of a reload do not boot, the old ones are replaced when they end.
void Arbiter::fall_back(Service& service)
{
    const std::shared_ptr<Service> previous = service.previous;
    if (!previous)
        return;
    const TimePoint now = Clock::now();
    const auto states = crew_->states(service, now);
    if (service.policy.settled(states)) {
        service.previous.reset();
        give_up_listeners(*previous);
    } else if (has_room() && previous->policy.may_spawn(now) &&
               service.policy.falls_back(states, previous->policy.target())) {
        spawn_workers(previous, 1);
    }
}

void Arbiter::spawn_workers(const std::shared_ptr<Service>& service, int count)
{
    for (int i = 0; i < count; ++i) {
        const bool room = make_room(*service);
        service->policy.has_room(room);
        if (!room)
            return;
        if (!crew_->spawn(service)) {
            service->policy.worker_failed(Clock::now());
            return;
        }
    }
}

bool Arbiter::has_room() const
{
    const int most = loaded_.config.global.max_processes;
    return most == 0 || crew_->size() < most;
}

// Those that the service's workers come in place of: of its configuration before, and of pools that
// were taken away and whose heir it is.
std::vector<WorkerState> Arbiter::replaced_by(const Service& service, TimePoint now) const
{
    auto replaced = crew_->states(service, now);
    std::erase_if(replaced, &WorkerState::current);
    for (const auto& removed : removed_)
        if (is_heir(service, *removed))
            std::ranges::copy(crew_->states(*removed, now), std::back_inserter(replaced));
    return replaced;
}

// False when there are as many workers as max_processes allows. One that is to be replaced goes
// then, as the new ones could never begin: one at a time, when those that boot have booted.
bool Arbiter::make_room(Service& service)
{
    if (has_room())
        return true;
    if (!find_service(services_, service.config.name))
        return false;  // it was taken away: others have more use for the room
    const TimePoint now = Clock::now();
    if (now >= service.room_warning_after)
        logging::warning("[%s] gets no more workers: there are %d, as max_processes allows",
                         service.config.name.c_str(),
                         crew_->size());
    service.room_warning_after = now + quiet_time;
    const bool booting =
        std::ranges::any_of(crew_->states(service, now), [](const WorkerState& worker) {
            return worker.current && !worker.booted;
        });
    const auto replaced = replaced_by(service, now);
    const bool leaving = !std::ranges::all_of(
        replaced, [](TimePoint retired) { return retired == never; }, &WorkerState::retired);
    if (!booting && !leaving && !replaced.empty())
        retire({replaced.front().pid, Reason::reload});
    return false;
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
                [this](pid_t pid, const ExitStatus& status) {
                    return hooks_.ended(pid, status) || successor_ended(pid, status);
                });
}

void Arbiter::worker_exited(const CrewMember& worker, const ExitStatus& status)
{
    const WorkerReport report = worker.slot->report(Clock::now());
    history_.worker_ended(worker, status);
    hooks_.worker_exited(worker.service->config.name, worker.state.pid, report.requests, status);
    const bool told = worker.state.retired != never || worker.state.hurried != never;
    const bool early = !told && !worker.proven;
    // As it says. One that has booted may end well at any time: somebody has sent it TERM.
    const bool served =
        report.requests > 0 || report.busy || (worker.state.booted && status.clean());
    std::string text = worker.name() + " " + worker.describe_end(status);
    if (report.busy && !status.clean())
        text += " while it served " + report.request + " with " + report.script;
    logging::write(status.clean()  ? logging::Level::info
                   : worker.killed ? logging::Level::warning
                                   : logging::Level::error,
                   text);
    if (early && served)
        worker.service->policy.worker_ended_early(Clock::now());
    else if (early)
        boot_failed(worker, status);
}

void Arbiter::boot_failed(const CrewMember& worker, const ExitStatus& status)
{
    Pool& policy = worker.service->policy;
    // A worker that ends before it has booted, or hangs, will not do better next time. One that was
    // killed by others may have been unlucky; some seconds of it are enough.
    const bool hopeless =
        !status.signalled || worker.state.aborted != never || policy.backoff() >= patience;
    if (!worker.state.booted && !has_served_ && hopeless && mode_ == Mode::serving) {
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
    const bool current = find_service(services_, worker.service->config.name) == worker.service;
    if (ready_ || mode_ != Mode::serving || !current)
        return;
    if (!has_served_) {
        net::notify::status("New workers do not boot, see the log");
    } else if (boot_error_.empty()) {
        // For the service manager the reload is over.
        net::notify::ready("New workers do not boot, see the log; the old ones serve");
        boot_error_ = "[" + worker.service->config.name + "] new workers do not boot: process " +
                      std::to_string(worker.state.pid) + " " + worker.describe_end(status);
        hooks_.reload_failed();
    }
}

}  // namespace server
