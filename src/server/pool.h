// pool.h - decides which workers of a pool to start, retire and kill. Policy only: no fork, no
// clock, no I/O.
// Units    time is TimePoint, steady clock; counts are processes.
// Errors   none, plan() is total.
// Owner    the Arbiter calls plan() once a tick and carries the Plan out.
// Source   gunicorn arbiter.py manage_workers(), murder_workers(); Postfix master_avail(3) for the
//          throttling of services that fail to start.
#pragma once

#include "base/clock.h"

#include <span>
#include <vector>

#include <sys/types.h>

namespace server {

// What the policy may know of a worker.
struct WorkerState {
    pid_t pid = 0;
    bool current = true;  // runs the present configuration
    bool booted = false;
    TimePoint started;
    TimePoint last_beat;
    TimePoint aborted = never;  // when it was sent ABRT
    TimePoint retired = never;  // when it was told to finish
    TimePoint hurried = never;  // when it was told to stop at once
};

struct Plan {
    int spawn = 0;
    std::vector<pid_t> retire;  // TERM: may finish the request in hand
    std::vector<pid_t> hurry;   // QUIT: ends its request at once
    std::vector<pid_t> abort;   // ABRT: silent for longer than the timeout
    std::vector<pid_t> kill;    // KILL: nothing else has helped
};

struct PoolPolicy {
    int workers = 1;
    Duration timeout{30'000};           // silence that is not forgiven; 0: none is
    Duration graceful_timeout{30'000};  // retire to hurry
    Duration hurry_timeout{2'000};      // hurry to kill
    Duration abort_timeout{1'000};      // abort to kill: time for a core dump
};

class Pool {
public:
    explicit Pool(const PoolPolicy& policy);

    Plan plan(TimePoint now, std::span<const WorkerState> workers) const;

    // TTIN, TTOU: one more, one less, never below one.
    void grow();
    void shrink();
    // The same at once, from tricornctl(1).
    void resize(int workers) { target_ = workers; }
    // WINCH: no workers until the next reload.
    void retire_all() { target_ = 0; }
    int target() const { return target_; }

    // A worker has reached its main loop; it has stayed there for a while; one has ended before.
    void worker_booted() { ever_booted_ = true; }
    void worker_proven();
    void worker_failed(TimePoint now);
    bool ever_booted() const { return ever_booted_; }
    Duration backoff() const { return backoff_; }

    // All that the present configuration asks for have booted: the old ones may go.
    bool settled(std::span<const WorkerState> workers) const;

private:
    void plan_count(TimePoint now, std::span<const WorkerState> workers, Plan& plan) const;
    void plan_ends(TimePoint now, const WorkerState& worker, Plan& plan) const;

    PoolPolicy policy_;
    int target_;
    bool ever_booted_ = false;
    Duration backoff_{0};
    TimePoint spawn_after_ = TimePoint::min();
};

}  // namespace server
