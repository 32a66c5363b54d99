#include "server/pool.h"

#include <algorithm>
#include <tuple>

namespace server {

namespace {

constexpr Duration first_backoff{1'000};
constexpr Duration last_backoff{32'000};

// Workers that end early after a request, until there is a pause before the next one.
constexpr int forgiven_ends = 5;

// php-fpm's FPM_IDLE_SERVER_MAINTENANCE_HEARTBEAT.
constexpr Duration scaling_interval{1'000};

// From this rate on the pool is hectic: its spare workers are too few.
constexpr int hectic_rate = 8;

// A pool that was full within this time was never really free again.
constexpr Duration full_interval{60'000};

bool serves(const WorkerState& worker)
{
    return worker.retired == never && worker.hurried == never && worker.aborted == never;
}

bool serves_now(const WorkerState& worker)
{
    return worker.current && serves(worker);
}

// Of the configuration before.
bool serves_still(const WorkerState& worker)
{
    return !worker.current && serves(worker);
}

int count_of(std::span<const WorkerState> workers, bool (*is)(const WorkerState&))
{
    return static_cast<int>(std::count_if(workers.begin(), workers.end(), is));
}

int serving(std::span<const WorkerState> workers)
{
    return count_of(workers, serves_now);
}

int booted(std::span<const WorkerState> workers)
{
    return count_of(workers,
                    [](const WorkerState& worker) { return serves_now(worker) && worker.booted; });
}

// One that boots will be idle in a moment.
int idle(std::span<const WorkerState> workers)
{
    return count_of(workers,
                    [](const WorkerState& worker) { return serves_now(worker) && !worker.busy; });
}

bool leaves(const Plan& plan, const WorkerState& worker)
{
    return std::ranges::find(plan.retire, worker.pid, &Retirement::pid) != plan.retire.end();
}

// Spread, so that workers that were started together do not go together.
Duration spread(Duration age, pid_t pid)
{
    return age + age * (pid % 16) / 160;
}

}  // namespace

Pool::Pool(const PoolPolicy& policy) : policy_(policy), limit_(policy.workers), target_(limit_)
{
    if (policy.scaling == config::Scaling::dynamic)
        target_ = std::min(policy.start_workers, limit_);
    else if (policy.scaling == config::Scaling::ondemand)
        target_ = 0;
}

Plan Pool::plan(TimePoint now, std::span<const WorkerState> workers)
{
    Plan plan;
    scale(now, workers, plan);
    plan_count(now, workers, plan);
    plan_old(workers, plan);
    plan_recycling(now, workers, plan);
    return plan;
}

Plan Pool::overdue(TimePoint now, std::span<const WorkerState> workers) const
{
    Plan plan;
    for (const WorkerState& worker : workers)
        plan_ends(now, worker, plan);
    return plan;
}

bool Pool::settled(std::span<const WorkerState> workers) const
{
    const int ready = booted(workers);
    if (ready >= target_)
        return true;
    const bool all_there_can_be =
        !room_ && ready == serving(workers) && count_of(workers, serves_still) == 0;
    return all_there_can_be && ready > 0;
}

bool Pool::falls_back(std::span<const WorkerState> workers, int wanted) const
{
    return backoff_.count() > 0 && booted(workers) + count_of(workers, serves_still) < wanted;
}

// --- how many -----------------------------------------------------------------------------------

void Pool::scale(TimePoint now, std::span<const WorkerState> workers, Plan& plan)
{
    if (policy_.scaling == config::Scaling::fixed || limit_ == 0 || now < next_scaling_)
        return;
    next_scaling_ = now + scaling_interval;
    const int count = serving(workers);
    if (policy_.scaling == config::Scaling::dynamic)
        scale_dynamic(idle(workers), count, plan);
    else
        scale_ondemand(now, workers, count);
}

// One less at a time, but more and more at a time when too few are idle.
void Pool::scale_dynamic(int idle, int count, Plan& plan)
{
    if (idle > policy_.max_spare) {
        target_ = count - 1;
        spawn_rate_ = 1;
    } else if (idle < policy_.min_spare && count < limit_) {
        const int more = std::min({spawn_rate_, policy_.min_spare - idle, limit_ - count});
        if (spawn_rate_ >= hectic_rate && backoff_.count() == 0)
            plan.hurried_spawn = more;
        target_ = std::max(target_, count + more);
        spawn_rate_ = std::min(spawn_rate_ * 2, policy_.max_spawn_rate);
    } else {
        spawn_rate_ = 1;
    }
}

void Pool::scale_ondemand(TimePoint now, std::span<const WorkerState> workers, int count)
{
    const bool rests = std::any_of(workers.begin(), workers.end(), [&](const WorkerState& worker) {
        return serves_now(worker) && worker.booted && !worker.busy &&
               now - worker.idle_since > policy_.idle_timeout;
    });
    if (rests)
        target_ = count - 1;
}

void Pool::plan_count(TimePoint now, std::span<const WorkerState> workers, Plan& plan) const
{
    std::vector<const WorkerState*> current;
    for (const WorkerState& worker : workers)
        if (serves_now(worker))
            current.push_back(&worker);

    const int count = static_cast<int>(current.size());
    const bool trying = booted(workers) < count;
    const int old = policy_.rolling ? count_of(workers, serves_still) : 0;
    const int leaving = static_cast<int>(workers.size()) - count - old;
    // In a rolling reload the one that is replaced has to be gone before the next one is started.
    const bool turn = old == 0 || (leaving == 0 && count + old <= target_);
    if (backoff_.count() == 0 && old == 0)
        plan.spawn = std::max(0, target_ - count);
    else if (count < target_ && may_spawn(now) && !trying && turn)
        plan.spawn = 1;  // one has to boot before the next is tried
    // Those go first that do the least: idle for the longest time, else the oldest.
    std::sort(current.begin(), current.end(), [](const WorkerState* a, const WorkerState* b) {
        return std::tie(a->busy, a->idle_since, a->started) <
               std::tie(b->busy, b->idle_since, b->started);
    });
    for (int i = 0; i < count - target_; ++i)
        plan.retire.push_back({current[static_cast<std::size_t>(i)]->pid, Reason::surplus});
}

// Workers of the configuration before: all when the new ones have booted, or one for one.
void Pool::plan_old(std::span<const WorkerState> workers, Plan& plan) const
{
    const bool replaced = settled(workers);
    int left = replaced          ? 0
               : policy_.rolling ? target_ - booted(workers)
                                 : static_cast<int>(workers.size());  // that are still needed
    for (const WorkerState& worker : workers) {
        if (worker.current || !serves(worker))
            continue;
        // One that has not booted is no help, when its successor boots already.
        const bool late = !worker.booted && backoff_.count() == 0;
        if (late || left-- <= 0)
            plan.retire.push_back({worker.pid, Reason::reload});
    }
}

void Pool::shrink()
{
    if (limit_ > 1)
        resize(limit_ - 1);
}

void Pool::resize(int workers)
{
    limit_ = workers;
    target_ = policy_.scaling == config::Scaling::fixed ? limit_ : std::min(target_, limit_);
}

void Pool::take_over(const Pool& before)
{
    ever_booted_ = ever_booted_ || before.ever_booted_;
    times_full_ = before.times_full_;
    last_full_ = before.last_full_;
    // As many as the load has asked for, lest the reload begins with too few.
    if (policy_.scaling != config::Scaling::fixed)
        target_ = std::clamp(before.target_, target_, limit_);
}

// --- too few ------------------------------------------------------------------------------------

bool Pool::wants_connections(TimePoint now, std::span<const WorkerState> workers) const
{
    return policy_.scaling == config::Scaling::ondemand && may_spawn(now) && target_ < limit_ &&
           serving(workers) >= target_ && idle(workers) == 0;
}

bool Pool::saturated(std::span<const WorkerState> workers) const
{
    return limit_ > 0 && serving(workers) >= limit_ && idle(workers) == 0;
}

bool Pool::note_full(TimePoint now)
{
    const bool again = last_full_ != TimePoint::min() && now - last_full_ < full_interval;
    last_full_ = now;
    ++times_full_;
    return !again;
}

// --- recycling ----------------------------------------------------------------------------------

// Why a worker should be replaced; empty: it is fine.
std::optional<Reason> Pool::wear(TimePoint now, const WorkerState& worker) const
{
    if (worker.due)
        return Reason::requests;
    if (policy_.max_age.count() > 0 && now - worker.started > spread(policy_.max_age, worker.pid))
        return Reason::age;
    if (policy_.max_memory > 0 && worker.memory > policy_.max_memory)
        return Reason::memory;
    return std::nullopt;
}

// Never more than the share at once: as many as are missing or still boot count, too.
void Pool::plan_recycling(TimePoint now, std::span<const WorkerState> workers, Plan& plan)
{
    const int share = std::max(1, target_ * policy_.recycle_share / 100);
    int room = backoff_.count() > 0 ? 0 : share - std::max(0, target_ - booted(workers));
    for (const WorkerState& worker : workers) {
        const auto reason = wear(now, worker);
        if (!serves_now(worker) || !worker.booted || !reason || leaves(plan, worker))
            continue;
        if (room <= 0) {
            if (worker.due)
                plan.keep.push_back(worker.pid);
            continue;
        }
        --room;
        plan.retire.push_back({worker.pid, *reason});
        if (policy_.scaling == config::Scaling::ondemand)
            --target_;  // the next connection brings the next worker
        else
            ++plan.spawn;
    }
}

// --- ends ---------------------------------------------------------------------------------------

bool Pool::silent(TimePoint now, const WorkerState& worker) const
{
    const Duration limit = worker.booted ? worker.timeout : worker.boot_timeout;
    const TimePoint since = worker.booted ? worker.last_beat : worker.started;
    return limit.count() > 0 && now - since > limit;
}

void Pool::plan_ends(TimePoint now, const WorkerState& worker, Plan& plan) const
{
    if (worker.hurried != never) {
        if (now - worker.hurried > policy_.hurry_timeout)
            plan.kill.push_back(worker.pid);
    } else if (worker.aborted != never) {
        if (now - worker.aborted > policy_.abort_timeout)
            plan.kill.push_back(worker.pid);
    } else if (silent(now, worker)) {
        plan.abort.push_back(worker.pid);
    } else if (worker.retired != never && now - worker.retired > policy_.graceful_timeout) {
        plan.hurry.push_back(worker.pid);
    }
}

void Pool::worker_proven()
{
    early_ends_ = 0;
    backoff_ = Duration{0};
    spawn_after_ = TimePoint::min();
}

void Pool::worker_failed(TimePoint now)
{
    if (now < spawn_after_)  // it was started together with the one that has failed before
        return;
    backoff_ = std::clamp(backoff_ * 2, first_backoff, last_backoff);
    spawn_after_ = now + backoff_;
}

// A request may kill its worker, and the next one is to be served at once. But it is the worker's
// word that it had a request: when many say so the pause is short, but there is one.
void Pool::worker_ended_early(TimePoint now)
{
    if (++early_ends_ <= forgiven_ends)
        return;
    backoff_ = std::max(backoff_, first_backoff);
    spawn_after_ = std::max(spawn_after_, now + first_backoff);
}

}  // namespace server
