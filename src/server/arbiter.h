// arbiter.h - the parent: owns the listening sockets, keeps the workers running, obeys signals. It
// never touches a request.
// Units    none.
// Errors   start() throws; once the server runs, whatever fails is logged and the server goes on.
// Owner    main(), one for the process.
// Source   gunicorn arbiter.py.
#pragma once

#include "base/daemon.h"
#include "base/pid_file.h"
#include "base/signals.h"
#include "base/unique_fd.h"
#include "config/config.h"
#include "server/control.h"
#include "server/crew.h"
#include "server/hooks.h"
#include "server/pool.h"
#include "server/service.h"
#include "server/status.h"
#include "server/upgrade.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>

namespace server {

class Arbiter final : private Control::Actions {
public:
    // The predecessor is the server that this one is started beside.
    Arbiter(config::Loaded loaded, Daemon& daemon, Predecessor predecessor);

    // Serves until it is told to stop; answers the exit code.
    int run();

private:
    enum class Mode { serving, draining, stopping };

    void start();
    void init_signals();
    void create_listeners();
    void open_log(const config::Global& global);
    PidFile make_pid_file(const config::Global& global) const;

    void sleep();
    void drain_wakeup() const;
    void take_signals();
    void handle_signal(const Signal& signal);

    void manage_workers();
    void retire_removed(TimePoint now);
    void spawn_workers(const std::shared_ptr<Service>& service, int count);
    void fall_back(Service& service);
    void retire(const Retirement& retirement);
    bool has_room() const;
    std::vector<WorkerState> replaced_by(const Service& service, TimePoint now) const;
    bool make_room(Service& service);
    std::vector<std::pair<Service*, std::size_t>> watch_demand(std::vector<pollfd>& set) const;
    void murder_workers();
    void reap_workers();
    void worker_exited(const CrewMember& worker, const ExitStatus& status);
    void boot_failed(const CrewMember& worker, const ExitStatus& status);
    void for_each_service(const std::function<void(const std::shared_ptr<Service>&)>& act);

    // arbiter_report.cc
    void look_around();
    static bool connection_waits(const Service& service);
    void report();
    bool all_settled() const;
    std::string summary() const;
    void report_load(TimePoint now);

    // arbiter_reload.cc
    void reload();
    void commit(config::Loaded fresh, Services next);
    void replace_services(Services next);
    void give_up_listeners(const Service& old);
    std::set<Service*> living_services() const;
    bool in_use(const SharedListener& listener) const;
    std::vector<SharedListener> open_listeners() const;
    bool keep_unchanged(const config::Global& global, Services& next) const;

    // arbiter_upgrade.cc
    void look_at_other_server();
    std::string upgrade();
    std::string too_early_to_stop() const;
    void give_way();
    void disown_unused();
    void take_back();
    void restart_retired();
    bool serves(const Service& service) const;
    void go_on_rolling_back();
    bool successor_ended(pid_t pid, const ExitStatus& status);
    void take_over();
    void become_main();

    // arbiter_commands.cc
    bool is_stopping() const;
    std::string reopen_logs();
    void resize(bool more);
    void terminate();
    void go_on_stopping();
    void close_listeners();
    void stop(bool graceful);

    // arbiter_control.cc
    control::Reply carry_out(const control::Request& request) override;
    const char* state_word() const;
    control::Reply status() const;
    control::Reply reload_now();
    control::Reply roll_back();
    control::Reply stop_if_another_serves();
    control::Reply stopped(bool graceful);
    control::Reply configuration() const;
    control::Reply scale(const control::Request& request);
    control::Reply kill_worker(pid_t pid);

    config::Loaded loaded_;
    Daemon& daemon_;
    PidFile pid_file_;
    std::unique_ptr<SignalQueue> signals_;
    UniqueFd wakeup_;  // workers write to it when the scoreboard has news
    Predecessor predecessor_;
    Successor successor_;
    std::vector<ActivatedSocket> activated_;
    std::vector<SharedListener> handed_over_;  // until the old server has gone
    std::vector<SharedListener> given_away_;   // to the new server, but for activated ones
    Services services_;
    Services removed_;  // pools that a reload took away, until their workers are gone
    std::unique_ptr<Crew> crew_;
    Hooks hooks_;
    Control control_{*this};
    History history_;

    Mode mode_ = Mode::serving;
    bool stop_waits_ = false;  // TERM came while the new server may still fail
    bool ready_ = false;       // the present configuration serves
    bool has_served_ = false;  // it has been ready: a failed boot does not end it any more
    int exit_code_ = 0;
    TimePoint started_ = Clock::now();
    std::uint64_t reloads_ = 0;
    bool roll_back_ = false;    // the new server is to end as soon as this one has workers
    std::string reload_error_;  // what is wrong with the configuration that was not reloaded
    std::string boot_error_;    // why the one that was does not serve yet
    TimePoint next_watchdog_ = never;
    TimePoint next_look_ = TimePoint::min();
    TimePoint next_summary_ = TimePoint::min();
    std::string last_summary_;
};

}  // namespace server
