#include "server/pool.h"

#include <algorithm>

namespace server {

namespace {

constexpr Duration first_backoff{1'000};
constexpr Duration last_backoff{32'000};

bool serves(const WorkerState& worker)
{
    return worker.retired == never && worker.hurried == never && worker.aborted == never;
}

}  // namespace

Pool::Pool(const PoolPolicy& policy) : policy_(policy), target_(policy.workers) {}

Plan Pool::plan(TimePoint now, std::span<const WorkerState> workers) const
{
    Plan plan;
    plan_count(now, workers, plan);
    for (const WorkerState& worker : workers)
        plan_ends(now, worker, plan);
    return plan;
}

bool Pool::settled(std::span<const WorkerState> workers) const
{
    const auto booted = [](const WorkerState& worker) {
        return worker.current && worker.booted && serves(worker);
    };
    return std::count_if(workers.begin(), workers.end(), booted) >= target_;
}

void Pool::plan_count(TimePoint now, std::span<const WorkerState> workers, Plan& plan) const
{
    std::vector<const WorkerState*> current;
    for (const WorkerState& worker : workers)
        if (worker.current && serves(worker))
            current.push_back(&worker);

    const int count = static_cast<int>(current.size());
    const bool trying = std::any_of(
        current.begin(), current.end(), [](const WorkerState* worker) { return !worker->booted; });
    if (backoff_.count() == 0)
        plan.spawn = std::max(0, target_ - count);
    else if (count < target_ && now >= spawn_after_ && !trying)
        plan.spawn = 1;  // after a failure one has to boot before the others are tried
    // The oldest go first, as they would have been recycled first.
    std::sort(current.begin(), current.end(), [](const WorkerState* a, const WorkerState* b) {
        return a->started < b->started;
    });
    for (int i = 0; i < count - target_; ++i)
        plan.retire.push_back(current[static_cast<std::size_t>(i)]->pid);

    if (settled(workers))
        for (const WorkerState& worker : workers)
            if (!worker.current && serves(worker))
                plan.retire.push_back(worker.pid);
}

void Pool::plan_ends(TimePoint now, const WorkerState& worker, Plan& plan) const
{
    const bool silent = policy_.timeout.count() > 0 && now - worker.last_beat > policy_.timeout;
    if (worker.hurried != never) {
        if (now - worker.hurried > policy_.hurry_timeout)
            plan.kill.push_back(worker.pid);
    } else if (worker.aborted != never) {
        if (now - worker.aborted > policy_.abort_timeout)
            plan.kill.push_back(worker.pid);
    } else if (silent) {
        plan.abort.push_back(worker.pid);
    } else if (worker.retired != never && now - worker.retired > policy_.graceful_timeout) {
        plan.hurry.push_back(worker.pid);
    }
}

void Pool::grow()
{
    ++target_;
}

void Pool::shrink()
{
    target_ = std::max(1, target_ - 1);
}

void Pool::worker_proven()
{
    backoff_ = Duration{0};
    spawn_after_ = TimePoint::min();
}

void Pool::worker_failed(TimePoint now)
{
    backoff_ = std::clamp(backoff_ * 2, first_backoff, last_backoff);
    spawn_after_ = now + backoff_;
}

}  // namespace server
