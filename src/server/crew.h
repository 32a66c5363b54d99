// crew.h - the workers that run: starting, signalling and reaping them. What to start and whom to
// signal is decided elsewhere.
// Units    none.
// Errors   spawn() answers false, and logs why, when there is no new worker.
// Owner    the Arbiter.
// Source   gunicorn arbiter.py spawn_worker(), reap_workers().
#pragma once

#include "base/oom.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "server/pool.h"
#include "server/scoreboard.h"
#include "server/service.h"

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace server {

struct CrewMember {
    WorkerState state;
    std::shared_ptr<Service> service;  // that it was forked with
    std::unique_ptr<Slot> slot;
    UniqueFd channel;
    bool proven = false;  // it did not end right after its start
    bool told_to_stay = false;
    bool killed = false;              // by us
    bool stopped = false;             // by a signal, until it is continued
    Reason reason = Reason::surplus;  // why it was retired, if it was
    // When it was killed, but not by us: whether the kernel was out of memory; empty: unknown.
    std::optional<bool> out_of_memory;

    std::string name() const;  // "[www] worker 4711"
    // "was retired: max_requests", "was killed by SIGSEGV (Segmentation fault)".
    std::string describe_end(const ExitStatus& status) const;
};

class Crew {
public:
    // wakeup: an eventfd that workers write to when their slot has news. Daemons let go of their
    // standard descriptors.
    Crew(int wakeup, bool daemon) : wakeup_(wakeup), daemon_(daemon) {}

    bool spawn(const std::shared_ptr<Service>& service);
    bool empty() const { return members_.empty(); }
    int size() const { return static_cast<int>(members_.size()); }

    // The workers of the pool of that name, for its policy.
    std::vector<WorkerState> states(const Service& service, TimePoint now) const;

    // Takes what is new in the slots over to states and policies.
    void note_booted(TimePoint now);
    // Once a second: how much memory the workers of pools with a limit use, and whether the kernel
    // has killed for want of it.
    void measure_memory();

    // To be called in every round. When the last one was long ago this process stood still, and its
    // workers may have as well (a group that was stopped, a frozen container): the silence of that
    // time is nobody's fault.
    void forgive_pause(TimePoint now);

    void retire(const Retirement& retirement, TimePoint now);  // TERM: may finish its request
    void keep(pid_t pid);                                      // not yet, though it has asked
    void hurry(pid_t pid, TimePoint now);                      // QUIT: ends it
    void abort(pid_t pid, TimePoint now);                      // ABRT: it is stuck
    void kill(pid_t pid);                                      // KILL

    // Reaps all children that have ended; `ended` is told of each worker, `other` of each child
    // that is none, while its number is still its own, and answers whether it knows it.
    void reap(const std::function<void(CrewMember, const ExitStatus&)>& ended,
              const std::function<bool(pid_t, const ExitStatus&)>& other);

    const std::list<CrewMember>& members() const { return members_; }
    const CrewMember& member(pid_t pid) { return *find(pid); }  // there is one

private:
    CrewMember* find(pid_t pid);
    CrewMember take_out(pid_t pid, const ExitStatus& status);

    const int wakeup_;
    const bool daemon_;
    oom::Watch oom_kills_;
    TimePoint last_round_ = TimePoint::min();
    TimePoint awake_since_ = TimePoint::min();
    std::list<CrewMember> members_;
};

}  // namespace server
