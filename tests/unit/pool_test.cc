#include "server/pool.h"
#include "tests/catch.h"

#include <algorithm>

using server::Plan;
using server::Pool;
using server::PoolPolicy;
using server::WorkerState;

namespace {

constexpr Duration second{1'000};

// A clock that the tests set: the policy never asks for another.
const TimePoint start{std::chrono::hours(1)};

PoolPolicy policy(int workers)
{
    PoolPolicy policy;
    policy.workers = workers;
    policy.timeout = 30 * second;
    policy.graceful_timeout = 30 * second;
    return policy;
}

WorkerState worker(pid_t pid, TimePoint started = start)
{
    WorkerState state;
    state.pid = pid;
    state.booted = true;
    state.started = started;
    state.last_beat = start;
    return state;
}

bool is_empty(const Plan& plan)
{
    return plan.spawn == 0 && plan.retire.empty() && plan.hurry.empty() && plan.abort.empty() &&
           plan.kill.empty();
}

}  // namespace

TEST_CASE("pool: missing workers are started at once", "[pool]")
{
    const Pool pool(policy(4));
    CHECK(pool.plan(start, {}).spawn == 4);
    const WorkerState one[] = {worker(10)};
    CHECK(pool.plan(start, one).spawn == 3);
}

TEST_CASE("pool: a full pool that beats needs nothing", "[pool]")
{
    const Pool pool(policy(2));
    const WorkerState both[] = {worker(10), worker(11)};
    CHECK(is_empty(pool.plan(start + 10 * second, both)));
}

TEST_CASE("pool: with one worker less wanted the oldest is retired", "[pool]")
{
    Pool pool(policy(3));
    pool.shrink();
    const WorkerState all[] = {
        worker(10, start + second), worker(11, start), worker(12, start + 2 * second)};
    CHECK(pool.plan(start + 3 * second, all).retire == std::vector<pid_t>{11});
}

TEST_CASE("pool: shrinking stops at one worker", "[pool]")
{
    Pool pool(policy(2));
    pool.shrink();
    pool.shrink();
    pool.shrink();
    CHECK(pool.target() == 1);
    pool.grow();
    CHECK(pool.target() == 2);
}

TEST_CASE("pool: a worker silent for longer than the timeout is aborted and a second later killed",
          "[pool]")
{
    const Pool pool(policy(1));
    WorkerState silent = worker(10);
    CHECK(is_empty(pool.plan(start + 30 * second, {&silent, 1})));

    const TimePoint late = start + 30 * second + Duration{1};
    CHECK(pool.plan(late, {&silent, 1}).abort == std::vector<pid_t>{10});

    silent.aborted = late;
    CHECK(pool.plan(late + second, {&silent, 1}).kill.empty());
    const Plan last = pool.plan(late + second + Duration{1}, {&silent, 1});
    CHECK(last.kill == std::vector<pid_t>{10});
    CHECK(last.abort.empty());
    CHECK(last.spawn == 1);
}

TEST_CASE("pool: a timeout of zero never aborts", "[pool]")
{
    PoolPolicy patient = policy(1);
    patient.timeout = Duration{0};
    const Pool pool(patient);
    const WorkerState silent[] = {worker(10)};
    CHECK(is_empty(pool.plan(start + std::chrono::hours(100), silent)));
}

TEST_CASE("pool: a retired worker is hurried after the graceful timeout and then killed", "[pool]")
{
    Pool pool(policy(1));
    pool.retire_all();
    WorkerState slow = worker(10);
    slow.retired = start;
    slow.last_beat = start + std::chrono::hours(1);
    CHECK(is_empty(pool.plan(start + 30 * second, {&slow, 1})));

    const TimePoint late = start + 30 * second + Duration{1};
    CHECK(pool.plan(late, {&slow, 1}).hurry == std::vector<pid_t>{10});
    slow.hurried = late;
    CHECK(is_empty(pool.plan(late + 2 * second, {&slow, 1})));
    CHECK(pool.plan(late + 2 * second + Duration{1}, {&slow, 1}).kill == std::vector<pid_t>{10});
}

TEST_CASE("pool: old workers serve until all new ones have booted", "[pool]")
{
    const Pool pool(policy(2));
    WorkerState states[] = {worker(10), worker(11), worker(20), worker(21)};
    states[0].current = states[1].current = false;
    states[3].booted = false;
    CHECK(is_empty(pool.plan(start, states)));

    states[3].booted = true;
    std::vector<pid_t> retired = pool.plan(start, states).retire;
    std::sort(retired.begin(), retired.end());
    CHECK(retired == std::vector<pid_t>{10, 11});
}

TEST_CASE("pool: workers of an old configuration are not counted for the new one", "[pool]")
{
    const Pool pool(policy(2));
    WorkerState states[] = {worker(10), worker(11)};
    states[0].current = states[1].current = false;
    const Plan plan = pool.plan(start, states);
    CHECK(plan.spawn == 2);
    CHECK(plan.retire.empty());
}

TEST_CASE("pool: workers that die at start are replaced after 1 2 4 and at most 32 seconds",
          "[pool]")
{
    Pool pool(policy(4));
    TimePoint now = start;
    for (const int wait : {1, 2, 4, 8, 16, 32, 32}) {
        pool.worker_failed(now);
        CHECK(pool.backoff() == wait * second);
        CHECK(pool.plan(now + wait * second - Duration{1}, {}).spawn == 0);
        now += wait * second;
        CHECK(pool.plan(now, {}).spawn == 1);
    }
}

TEST_CASE("pool: after a failure one worker has to boot before the others are tried", "[pool]")
{
    Pool pool(policy(4));
    pool.worker_failed(start);
    const TimePoint later = start + 2 * second;
    WorkerState trying = worker(10, later);
    trying.booted = false;
    CHECK(pool.plan(later, {&trying, 1}).spawn == 0);
    trying.booted = true;
    CHECK(pool.plan(later, {&trying, 1}).spawn == 1);
    pool.worker_proven();
    CHECK(pool.plan(later, {&trying, 1}).spawn == 3);
}

TEST_CASE("pool: retiring all leaves no worker and starts none", "[pool]")
{
    Pool pool(policy(2));
    pool.retire_all();
    const WorkerState both[] = {worker(10), worker(11)};
    const Plan plan = pool.plan(start, both);
    CHECK(plan.spawn == 0);
    CHECK(plan.retire.size() == 2);
}
