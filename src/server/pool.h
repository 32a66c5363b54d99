// pool.h - decides which workers of a pool to start, retire and kill. Policy only: no fork, no
// clock, no I/O.
// Units    time is TimePoint, steady clock; counts are processes.
// Errors   none: plan() and overdue() are total.
// Owner    the Arbiter calls both at each turn of its loop and carries the Plan out.
// Source   gunicorn arbiter.py manage_workers(), murder_workers(); php-fpm's
//          fpm_pctl_perform_idle_server_maintenance() for dynamic and ondemand; Postfix
//          master_avail(3) for the throttling of services that fail to start.
#pragma once

#include "base/clock.h"
#include "config/settings.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <sys/types.h>

namespace server {

// What the policy may know of a worker.
struct WorkerState {
    pid_t pid = 0;
    bool current = true;  // runs the present configuration
    bool booted = false;
    bool busy = false;         // has a request in hand
    bool due = false;          // has asked to be replaced: max_requests
    std::uint64_t memory = 0;  // resident bytes; 0: unknown
    // As it was started with: by this it beats, whatever a reload has said since.
    Duration timeout{30'000};       // silence that is not forgiven; 0: none is
    Duration boot_timeout{30'000};  // from its start until it has booted; 0: no limit
    TimePoint started;
    TimePoint idle_since;  // the end of its last request, or its boot
    TimePoint last_beat;
    TimePoint aborted = never;  // when it was sent ABRT
    TimePoint retired = never;  // when it was told to finish
    TimePoint hurried = never;  // when it was told to stop at once
};

enum class Reason {
    surplus,   // fewer workers are wanted
    reload,    // another runs the new configuration
    requests,  // max_requests
    age,       // max_worker_age
    memory,    // max_worker_memory
};

struct Retirement {
    pid_t pid;
    Reason reason;

    bool operator==(const Retirement&) const = default;
};

struct Plan {
    int spawn = 0;
    std::vector<Retirement> retire;  // TERM: may finish the request in hand
    std::vector<pid_t> keep;         // asked to be replaced, and must wait for its turn
    std::vector<pid_t> hurry;        // QUIT: ends its request at once
    std::vector<pid_t> abort;        // ABRT: silent for longer than the timeout
    std::vector<pid_t> kill;         // KILL: nothing else has helped
    int hurried_spawn = 0;           // so many at once because few are idle; 0: not worth a word
};

struct PoolPolicy {
    config::Scaling scaling = config::Scaling::fixed;
    int workers = 1;  // how many there are; unless scaling is fixed, how many there may be
    int min_spare = 1;
    int max_spare = 3;
    int start_workers = 1;
    int max_spawn_rate = 32;            // a second
    Duration idle_timeout{10'000};      // ondemand
    Duration max_age{0};                // of a worker; 0: no limit
    std::uint64_t max_memory = 0;       // of a worker, in bytes; 0: no limit
    int recycle_share = 25;             // percent of the workers that may be recycled at once
    bool rolling = false;               // a reload replaces one worker after the other
    Duration graceful_timeout{30'000};  // retire to hurry
    Duration hurry_timeout{2'000};      // hurry to kill
    Duration abort_timeout{1'000};      // abort to kill: time for a core dump
};

class Pool {
public:
    explicit Pool(const PoolPolicy& policy);

    // Whom to start, retire and keep. Changes the number of workers that are wanted, once a second.
    Plan plan(TimePoint now, std::span<const WorkerState> workers);
    // Whom to hurry, abort and kill.
    Plan overdue(TimePoint now, std::span<const WorkerState> workers) const;

    // TTIN, TTOU, tricornctl(1): one more, one less, so many; never below one. With dynamic and
    // ondemand that is the number that there may be.
    void grow() { resize(limit_ + 1); }
    void shrink();
    void resize(int workers);
    // WINCH: no workers until the next reload.
    void retire_all() { target_ = limit_ = 0; }
    int target() const { return target_; }  // wanted now
    int limit() const { return limit_; }    // at most

    // ondemand: nobody could take a connection, and a worker more may be started for it.
    bool wants_connections(TimePoint now, std::span<const WorkerState> workers) const;
    void connection_waits() { ++target_; }

    // All workers that there may be are busy.
    bool saturated(std::span<const WorkerState> workers) const;
    // A connection waits meanwhile. True when it is worth a word in the log.
    bool note_full(TimePoint now);
    std::uint64_t times_full() const { return times_full_; }

    // A worker has reached its main loop; it has stayed there for a while; one has ended before;
    // one has, but says that it had served.
    void worker_booted() { ever_booted_ = true; }
    void worker_proven();
    void worker_failed(TimePoint now);
    void worker_ended_early(TimePoint now);
    bool ever_booted() const { return ever_booted_; }
    Duration backoff() const { return backoff_; }

    // A reload: what this pool has learned before, under another configuration.
    void take_over(const Pool& before);
    // All that the present configuration asks for, or as many of them as there is room for, have
    // booted: the old ones may go.
    bool settled(std::span<const WorkerState> workers) const;
    // New workers do not boot, and of the configuration before there are fewer than `wanted`.
    bool falls_back(std::span<const WorkerState> workers, int wanted) const;
    bool may_spawn(TimePoint now) const { return now >= spawn_after_; }
    // Whether max_processes left room for the last worker that was to be started.
    void has_room(bool yes) { room_ = yes; }

private:
    void scale(TimePoint now, std::span<const WorkerState> workers, Plan& plan);
    void scale_dynamic(int idle, int count, Plan& plan);
    void scale_ondemand(TimePoint now, std::span<const WorkerState> workers, int count);
    void plan_count(TimePoint now, std::span<const WorkerState> workers, Plan& plan) const;
    void plan_old(std::span<const WorkerState> workers, Plan& plan) const;
    void plan_recycling(TimePoint now, std::span<const WorkerState> workers, Plan& plan);
    std::optional<Reason> wear(TimePoint now, const WorkerState& worker) const;
    void plan_ends(TimePoint now, const WorkerState& worker, Plan& plan) const;
    bool silent(TimePoint now, const WorkerState& worker) const;

    PoolPolicy policy_;
    int limit_;   // workers that there may be
    int target_;  // workers that are wanted
    bool room_ = true;
    int spawn_rate_ = 1;
    TimePoint next_scaling_ = TimePoint::min();
    std::uint64_t times_full_ = 0;
    TimePoint last_full_ = TimePoint::min();
    bool ever_booted_ = false;
    int early_ends_ = 0;  // since one has proven itself
    Duration backoff_{0};
    TimePoint spawn_after_ = TimePoint::min();
};

}  // namespace server
