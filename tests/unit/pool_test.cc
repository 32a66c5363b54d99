#include "server/pool.h"
#include "tests/catch.h"

#include <algorithm>

using server::Plan;
using server::Pool;
using server::PoolPolicy;
using server::Reason;
using server::WorkerState;

namespace {

using Retired = std::vector<server::Retirement>;

constexpr Duration second{1'000};

// A clock that the tests set: the policy never asks for another.
const TimePoint start{std::chrono::hours(1)};

PoolPolicy policy(int workers)
{
    PoolPolicy policy;
    policy.workers = workers;
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

// All that is to be done, as the arbiter asks for it.
Plan whole(Pool& pool, TimePoint now, std::span<const WorkerState> workers)
{
    Plan plan = pool.plan(now, workers);
    const Plan ends = pool.overdue(now, workers);
    plan.hurry = ends.hurry;
    plan.abort = ends.abort;
    plan.kill = ends.kill;
    return plan;
}

bool is_empty(const Plan& plan)
{
    return plan.spawn == 0 && plan.retire.empty() && plan.hurry.empty() && plan.abort.empty() &&
           plan.kill.empty();
}

}  // namespace

TEST_CASE("pool: missing workers are started at once", "[pool]")
{
    Pool pool(policy(4));
    CHECK(whole(pool, start, {}).spawn == 4);
    const WorkerState one[] = {worker(10)};
    CHECK(whole(pool, start, one).spawn == 3);
}

TEST_CASE("pool: a full pool that beats needs nothing", "[pool]")
{
    Pool pool(policy(2));
    const WorkerState both[] = {worker(10), worker(11)};
    CHECK(is_empty(whole(pool, start + 10 * second, both)));
}

TEST_CASE("pool: with one worker less wanted the oldest is retired", "[pool]")
{
    Pool pool(policy(3));
    pool.shrink();
    const WorkerState all[] = {
        worker(10, start + second), worker(11, start), worker(12, start + 2 * second)};
    CHECK(whole(pool, start + 3 * second, all).retire == Retired{{11, Reason::surplus}});
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
    Pool pool(policy(1));
    WorkerState silent = worker(10);
    CHECK(is_empty(whole(pool, start + 30 * second, {&silent, 1})));

    const TimePoint late = start + 30 * second + Duration{1};
    CHECK(whole(pool, late, {&silent, 1}).abort == std::vector<pid_t>{10});

    silent.aborted = late;
    CHECK(whole(pool, late + second, {&silent, 1}).kill.empty());
    const Plan last = whole(pool, late + second + Duration{1}, {&silent, 1});
    CHECK(last.kill == std::vector<pid_t>{10});
    CHECK(last.abort.empty());
    CHECK(last.spawn == 1);
}

TEST_CASE("pool: a timeout of zero never aborts", "[pool]")
{
    Pool pool(policy(1));
    WorkerState silent = worker(10);
    silent.timeout = Duration{0};
    CHECK(is_empty(whole(pool, start + std::chrono::hours(100), {&silent, 1})));
}

TEST_CASE("pool: an old worker is measured by the timeout that it was started with", "[pool]")
{
    Pool pool(policy(1));
    WorkerState workers[] = {worker(10), worker(11)};
    workers[0].current = false;
    workers[0].timeout = 60 * second;
    workers[1].timeout = 10 * second;
    CHECK(pool.overdue(start + 30 * second, workers).abort == std::vector<pid_t>{11});
}

TEST_CASE("pool: of several reloads only the last one's workers go on booting", "[pool]")
{
    Pool pool(policy(1));
    WorkerState workers[] = {worker(10), worker(11), worker(12)};
    workers[0].current = workers[1].current = false;
    workers[1].booted = workers[2].booted = false;
    CHECK(pool.plan(start, workers).retire == Retired{{11, Reason::reload}});
    workers[2].booted = true;
    CHECK(pool.plan(start, workers).retire == Retired{{10, Reason::reload}, {11, Reason::reload}});
}

TEST_CASE("pool: a retired worker is hurried after the graceful timeout and then killed", "[pool]")
{
    Pool pool(policy(1));
    pool.retire_all();
    WorkerState slow = worker(10);
    slow.retired = start;
    slow.last_beat = start + std::chrono::hours(1);
    CHECK(is_empty(whole(pool, start + 30 * second, {&slow, 1})));

    const TimePoint late = start + 30 * second + Duration{1};
    CHECK(whole(pool, late, {&slow, 1}).hurry == std::vector<pid_t>{10});
    slow.hurried = late;
    CHECK(is_empty(whole(pool, late + 2 * second, {&slow, 1})));
    CHECK(whole(pool, late + 2 * second + Duration{1}, {&slow, 1}).kill == std::vector<pid_t>{10});
}

TEST_CASE("pool: old workers serve until all new ones have booted", "[pool]")
{
    Pool pool(policy(2));
    WorkerState states[] = {worker(10), worker(11), worker(20), worker(21)};
    states[0].current = states[1].current = false;
    states[3].booted = false;
    CHECK(is_empty(whole(pool, start, states)));

    states[3].booted = true;
    CHECK(whole(pool, start, states).retire == Retired{{10, Reason::reload}, {11, Reason::reload}});
}

TEST_CASE("pool: old workers are replaced while new ones do not boot", "[pool]")
{
    Pool pool(policy(2));
    std::vector<WorkerState> states = {worker(10)};
    states[0].current = false;
    CHECK_FALSE(pool.falls_back(states, 2));  // the new ones have not been tried
    pool.worker_failed(start);
    CHECK(pool.falls_back(states, 2));
    states.push_back(worker(11));
    states[1].current = false;
    states[1].booted = false;
    CHECK_FALSE(pool.falls_back(states, 2));
    CHECK(pool.plan(start, states).retire.empty());
    pool.worker_proven();
    CHECK(pool.plan(start, states).retire == Retired{{11, Reason::reload}});
}

TEST_CASE("pool: workers of an old configuration are not counted for the new one", "[pool]")
{
    Pool pool(policy(2));
    WorkerState states[] = {worker(10), worker(11)};
    states[0].current = states[1].current = false;
    const Plan plan = whole(pool, start, states);
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
        CHECK(whole(pool, now + wait * second - Duration{1}, {}).spawn == 0);
        now += wait * second;
        CHECK(whole(pool, now, {}).spawn == 1);
    }
}

TEST_CASE("pool: workers that were started together and die together count once", "[pool]")
{
    Pool pool(policy(4));
    for (int i = 0; i < 4; ++i)
        pool.worker_failed(start + Duration{i});
    CHECK(pool.backoff() == 1 * second);
    CHECK(whole(pool, start + second, {}).spawn == 1);
}

TEST_CASE("pool: after a failure one worker has to boot before the others are tried", "[pool]")
{
    Pool pool(policy(4));
    pool.worker_failed(start);
    const TimePoint later = start + 2 * second;
    WorkerState trying = worker(10, later);
    trying.booted = false;
    CHECK(whole(pool, later, {&trying, 1}).spawn == 0);
    trying.booted = true;
    CHECK(whole(pool, later, {&trying, 1}).spawn == 1);
    pool.worker_proven();
    CHECK(whole(pool, later, {&trying, 1}).spawn == 3);
}

TEST_CASE("pool: some workers that end after a request are replaced at once and many with a pause",
          "[pool]")
{
    Pool pool(policy(1));
    for (int i = 0; i < 5; ++i) {
        pool.worker_ended_early(start);
        CHECK(pool.plan(start, {}).spawn == 1);
    }
    for (int i = 0; i < 3; ++i) {
        const TimePoint now = start + i * second;
        pool.worker_ended_early(now);
        CHECK(pool.plan(now + second - Duration{1}, {}).spawn == 0);
        CHECK(pool.plan(now + second, {}).spawn == 1);
    }
    pool.worker_proven();
    pool.worker_ended_early(start + 3 * second);
    CHECK(pool.plan(start + 3 * second, {}).spawn == 1);
}

TEST_CASE("pool: a reload is over when all workers have booted that there is room for", "[pool]")
{
    Pool pool(policy(4));
    std::vector<WorkerState> states = {worker(10), worker(11), worker(12)};
    pool.has_room(false);
    CHECK(pool.settled(states));
    states[2].booted = false;
    CHECK_FALSE(pool.settled(states));
    states[2].booted = true;
    states[0].current = false;  // goes, and makes room
    CHECK_FALSE(pool.settled(states));
    CHECK_FALSE(pool.settled({}));
    pool.has_room(true);
    states[0].current = true;
    CHECK_FALSE(pool.settled(states));
}

TEST_CASE("pool: retiring all leaves no worker and starts none", "[pool]")
{
    Pool pool(policy(2));
    pool.retire_all();
    const WorkerState both[] = {worker(10), worker(11)};
    const Plan plan = whole(pool, start, both);
    CHECK(plan.spawn == 0);
    CHECK(plan.retire.size() == 2);
}

// --- scaling ------------------------------------------------------------------------------------

namespace {

PoolPolicy dynamic(int workers, int min_spare, int max_spare, int at_start)
{
    PoolPolicy result = policy(workers);
    result.scaling = config::Scaling::dynamic;
    result.min_spare = min_spare;
    result.max_spare = max_spare;
    result.start_workers = at_start;
    return result;
}

PoolPolicy ondemand(int workers)
{
    PoolPolicy result = policy(workers);
    result.scaling = config::Scaling::ondemand;
    return result;
}

// So many workers, of which the first are busy.
std::vector<WorkerState> crew(int count, int busy, TimePoint idle_since = start)
{
    std::vector<WorkerState> workers;
    for (int i = 0; i < count; ++i) {
        workers.push_back(worker(100 + i, start + i * second));
        workers.back().busy = i < busy;
        workers.back().idle_since = idle_since;
        workers.back().last_beat = start + std::chrono::hours(1);
    }
    return workers;
}

}  // namespace

TEST_CASE("pool: a dynamic pool starts with its start workers", "[pool]")
{
    Pool pool(dynamic(10, 2, 4, 3));
    CHECK(pool.target() == 3);
    CHECK(pool.plan(start, {}).spawn == 3);
}

TEST_CASE("pool: the spawn rate of a dynamic pool doubles each second up to its maximum", "[pool]")
{
    PoolPolicy rules = dynamic(100, 50, 60, 1);
    rules.max_spawn_rate = 8;
    Pool pool(rules);
    int count = 1;
    TimePoint now = start;
    for (const int more : {1, 2, 4, 8, 8, 8}) {
        const auto workers = crew(count, count);
        const Plan plan = pool.plan(now, workers);
        CHECK(plan.spawn == more);
        CHECK((plan.hurried_spawn > 0) == (more == 8));
        // Within the same second nothing more is decided.
        CHECK(pool.plan(now + second - Duration{1}, workers).spawn == more);
        count += more;
        now += second;
    }
}

TEST_CASE("pool: the spawn rate falls back when enough are idle", "[pool]")
{
    Pool pool(dynamic(100, 5, 10, 5));
    CHECK(pool.plan(start, crew(5, 5)).spawn == 1);
    CHECK(pool.plan(start + second, crew(6, 6)).spawn == 2);
    CHECK(pool.plan(start + 2 * second, crew(8, 2)).spawn == 0);
    CHECK(pool.plan(start + 3 * second, crew(8, 8)).spawn == 1);
}

TEST_CASE("pool: a dynamic pool starts no more than lack among the spare ones", "[pool]")
{
    Pool pool(dynamic(100, 3, 10, 3));
    CHECK(pool.plan(start, crew(10, 10)).spawn == 1);
    CHECK(pool.plan(start + second, crew(11, 11)).spawn == 2);
    CHECK(pool.plan(start + 2 * second, crew(13, 11)).spawn == 1);
}

TEST_CASE("pool: a dynamic pool never exceeds its workers", "[pool]")
{
    Pool pool(dynamic(4, 3, 3, 3));
    CHECK(pool.plan(start, crew(3, 3)).spawn == 1);
    const auto full = crew(4, 4);
    CHECK(pool.plan(start + second, full).spawn == 0);
    CHECK(pool.saturated(full));
    CHECK_FALSE(pool.saturated(crew(4, 3)));
    CHECK_FALSE(pool.saturated(crew(3, 3)));
}

TEST_CASE("pool: a dynamic pool retires one idle worker a second", "[pool]")
{
    Pool pool(dynamic(10, 1, 2, 1));
    auto workers = crew(6, 1);
    workers[3].idle_since = start - second;  // for the longest time
    CHECK(pool.plan(start + second, workers).retire == Retired{{103, Reason::surplus}});
    workers[3].retired = start + second;
    CHECK(pool.plan(start + second + Duration{500}, workers).retire.empty());
    CHECK(pool.plan(start + 2 * second, workers).retire == Retired{{101, Reason::surplus}});
}

TEST_CASE("pool: a worker that boots counts as idle", "[pool]")
{
    Pool pool(dynamic(10, 1, 2, 1));
    auto workers = crew(3, 3);
    workers[2].busy = workers[2].booted = false;
    CHECK(pool.plan(start, workers).spawn == 0);
}

TEST_CASE("pool: an ondemand pool has no worker until a connection waits", "[pool]")
{
    Pool pool(ondemand(2));
    CHECK(is_empty(whole(pool, start, {})));
    CHECK(pool.settled({}));
    CHECK(pool.wants_connections(start, {}));
    pool.connection_waits();
    CHECK_FALSE(pool.wants_connections(start, {}));  // one is on its way
    CHECK(pool.plan(start, {}).spawn == 1);
    CHECK_FALSE(pool.wants_connections(start, crew(1, 0)));
    CHECK(pool.wants_connections(start, crew(1, 1)));
    pool.connection_waits();
    CHECK(pool.plan(start, crew(1, 1)).spawn == 1);
    CHECK_FALSE(pool.wants_connections(start, crew(2, 2)));  // there may be no more
    CHECK(pool.saturated(crew(2, 2)));
}

TEST_CASE("pool: an ondemand pool retires one worker a second that was idle for too long", "[pool]")
{
    Pool pool(ondemand(3));
    for (int i = 0; i < 3; ++i)
        pool.connection_waits();
    auto workers = crew(3, 0);
    CHECK(pool.plan(start + 10 * second, workers).retire.empty());
    CHECK(pool.plan(start + 11 * second, workers).retire == Retired{{100, Reason::surplus}});
    workers[0].retired = start + 11 * second;
    CHECK(pool.plan(start + 11 * second, workers).retire.empty());
    CHECK(pool.plan(start + 12 * second, workers).retire == Retired{{101, Reason::surplus}});
    workers[1].retired = start + 12 * second;
    workers[2].busy = true;
    CHECK(pool.plan(start + 13 * second, workers).retire.empty());
}

TEST_CASE("pool: an ondemand pool whose workers do not boot waits as the others do", "[pool]")
{
    Pool pool(ondemand(3));
    pool.connection_waits();
    pool.worker_failed(start);
    CHECK(pool.plan(start, {}).spawn == 0);
    CHECK_FALSE(pool.wants_connections(start, {}));
    CHECK(pool.plan(start + second, {}).spawn == 1);
}

TEST_CASE("pool: an ondemand pool goes on after a failure though no worker lived for long",
          "[pool]")
{
    Pool pool(ondemand(3));
    pool.connection_waits();
    pool.worker_failed(start);
    CHECK(pool.plan(start + second, {}).spawn == 1);
    // It has served, rested and gone before it was proven.
    std::vector<WorkerState> workers = crew(1, 0);
    workers[0].idle_since = start;
    const TimePoint later = start + 20 * second;
    CHECK(pool.plan(later, workers).retire == Retired{{100, Reason::surplus}});
    CHECK(pool.target() == 0);
    CHECK(pool.wants_connections(later, {}));
    pool.connection_waits();
    CHECK(pool.plan(later, {}).spawn == 1);
}

TEST_CASE("pool: growing and shrinking a scaling pool moves the number that there may be", "[pool]")
{
    Pool pool(dynamic(2, 1, 1, 2));
    pool.grow();
    CHECK(pool.limit() == 3);
    CHECK(pool.target() == 2);
    pool.shrink();
    pool.shrink();
    pool.shrink();
    CHECK(pool.limit() == 1);
    CHECK(pool.target() == 1);
}

TEST_CASE("pool: a pool that is full is worth a word once a minute", "[pool]")
{
    Pool pool(policy(1));
    CHECK(pool.note_full(start));
    CHECK_FALSE(pool.note_full(start + second));
    CHECK_FALSE(pool.note_full(start + 60 * second));
    CHECK(pool.note_full(start + 120 * second));
    CHECK(pool.times_full() == 4);
}

TEST_CASE("pool: a reload begins with as many workers as the load had brought", "[pool]")
{
    Pool before(dynamic(10, 1, 2, 1));
    before.plan(start, crew(7, 7));
    CHECK(before.target() == 8);
    Pool after(dynamic(6, 1, 2, 1));
    after.take_over(before);
    CHECK(after.target() == 6);
    Pool fixed(policy(3));
    fixed.take_over(before);
    CHECK(fixed.target() == 3);
}

// --- recycling ----------------------------------------------------------------------------------

TEST_CASE("pool: a worker that asks to be replaced is retired and one started", "[pool]")
{
    Pool pool(policy(4));
    auto workers = crew(4, 0);
    workers[2].due = true;
    const Plan plan = pool.plan(start, workers);
    CHECK(plan.retire == Retired{{102, Reason::requests}});
    CHECK(plan.spawn == 1);
    CHECK(plan.keep.empty());
}

TEST_CASE("pool: no more than the share is recycled at once", "[pool]")
{
    Pool pool(policy(8));
    auto workers = crew(8, 0);
    for (WorkerState& each : workers)
        each.due = true;
    const Plan plan = pool.plan(start, workers);
    CHECK(plan.retire.size() == 2);
    CHECK(plan.keep.size() == 6);
    CHECK(plan.spawn == 2);
    // Those that were started in their place have not booted yet.
    workers[0].retired = workers[1].retired = start;
    workers.push_back(worker(200));
    workers.push_back(worker(201));
    workers[8].booted = false;
    workers[9].booted = false;
    CHECK(pool.plan(start, workers).retire.empty());
    workers[8].booted = true;
    CHECK(pool.plan(start, workers).retire == Retired{{102, Reason::requests}});
}

TEST_CASE("pool: workers are recycled by age with some spread and by memory", "[pool]")
{
    PoolPolicy rules = policy(2);
    rules.max_age = 100 * second;
    rules.max_memory = 1000;
    Pool pool(rules);
    std::vector<WorkerState> workers{worker(160), worker(161)};
    CHECK(pool.plan(start + 100 * second, workers).retire.empty());
    CHECK(pool.plan(start + 100 * second + Duration{1}, workers).retire ==
          Retired{{160, Reason::age}});
    workers = {worker(160, start + 100 * second), worker(161)};
    CHECK(pool.plan(start + 100 * second + Duration{1}, workers).retire.empty());
    CHECK(pool.plan(start + 101 * second, workers).retire == Retired{{161, Reason::age}});

    workers = {worker(160), worker(161)};
    workers[1].memory = 1000;
    CHECK(pool.plan(start, workers).retire.empty());
    workers[1].memory = 1001;
    CHECK(pool.plan(start, workers).retire == Retired{{161, Reason::memory}});
}

TEST_CASE("pool: nobody is recycled while new workers do not boot", "[pool]")
{
    Pool pool(policy(2));
    auto workers = crew(2, 0);
    workers[0].due = true;
    pool.worker_failed(start);
    const Plan plan = pool.plan(start, workers);
    CHECK(plan.retire.empty());
    CHECK(plan.keep == std::vector<pid_t>{100});
}

TEST_CASE("pool: a recycled ondemand worker is not replaced", "[pool]")
{
    Pool pool(ondemand(2));
    pool.connection_waits();
    auto workers = crew(1, 0);
    workers[0].due = true;
    const Plan plan = pool.plan(start, workers);
    CHECK(plan.retire == Retired{{100, Reason::requests}});
    CHECK(plan.spawn == 0);
    CHECK(pool.target() == 0);
}

// --- reloads and boots --------------------------------------------------------------------------

TEST_CASE("pool: a rolling reload replaces one worker after the other", "[pool]")
{
    PoolPolicy rules = policy(3);
    rules.rolling = true;
    Pool pool(rules);
    auto workers = crew(3, 0);
    for (WorkerState& each : workers)
        each.current = false;
    for (int i = 0; i < 3; ++i) {
        Plan plan = pool.plan(start, workers);
        CHECK(plan.spawn == 1);
        CHECK(plan.retire.empty());
        workers.push_back(worker(200 + i));
        workers.back().booted = false;
        plan = pool.plan(start, workers);
        CHECK(is_empty(plan));
        workers.back().booted = true;
        plan = pool.plan(start, workers);
        REQUIRE(plan.retire.size() == 1);
        CHECK(plan.spawn == 0);
        const auto leaving =
            std::find_if(workers.begin(), workers.end(), [&](const WorkerState& each) {
                return each.pid == plan.retire[0].pid;
            });
        leaving->retired = start;  // and has a request in hand
        CHECK(is_empty(pool.plan(start, workers)));
        workers.erase(leaving);
    }
    CHECK(is_empty(pool.plan(start, workers)));
}

TEST_CASE("pool: a worker that does not boot in time is aborted whatever its timeout", "[pool]")
{
    Pool pool(policy(1));
    WorkerState slow = worker(10);
    slow.booted = false;
    slow.timeout = Duration{0};
    slow.boot_timeout = 5 * second;
    CHECK(pool.overdue(start + 5 * second, {&slow, 1}).abort.empty());
    CHECK(pool.overdue(start + 5 * second + Duration{1}, {&slow, 1}).abort ==
          std::vector<pid_t>{10});
}
