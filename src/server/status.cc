#include "server/status.h"

#include "base/process.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

namespace server {

namespace {

constexpr std::size_t most_exits = 8;

std::string time_of_day()
{
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

const char* scaling_word(config::Scaling scaling)
{
    switch (scaling) {
    case config::Scaling::fixed: return "static";
    case config::Scaling::dynamic: return "dynamic";
    case config::Scaling::ondemand: return "ondemand";
    }
    return "";
}

const char* state_word(const CrewMember& worker, const WorkerReport& report)
{
    const WorkerState& state = worker.state;
    if (worker.stopped)
        return "stopped";
    if (state.aborted != never)
        return "aborted";
    if (state.retired != never || state.hurried != never)
        return "retiring";
    if (!state.booted)
        return "booting";
    return report.busy ? "busy" : "idle";
}

control::WorkerStatus worker_status(const CrewMember& worker, const Service& service, TimePoint now)
{
    const WorkerReport report = worker.slot->report(now);
    control::WorkerStatus status;
    status.pid = worker.state.pid;
    status.state = state_word(worker, report);
    status.current = worker.service.get() == &service;
    status.age = seconds_between(worker.state.started, now);
    status.requests = report.requests;
    status.memory = resident_memory(worker.state.pid);
    if (report.busy) {
        status.elapsed = seconds_between(report.request_started, now);
        status.request = report.request;
        status.script = report.script;
    }
    return status;
}

void add_workers(control::PoolStatus& pool, const Service& service, const Crew& crew, TimePoint now)
{
    for (const CrewMember& worker : crew.members()) {
        if (worker.service->config.name != pool.name)
            continue;
        pool.workers.push_back(worker_status(worker, service, now));
        const std::string& state = pool.workers.back().state;
        pool.idle += state == "idle" ? 1 : 0;
        pool.busy += state == "busy" ? 1 : 0;
        pool.requests += pool.workers.back().requests;
        ++pool.total;
    }
}

control::PoolStatus pool_status(const Service& service, const Crew& crew, const History& history)
{
    const TimePoint now = Clock::now();
    control::PoolStatus pool;
    pool.name = service.config.name;
    pool.handler = service.config.handler == config::HandlerKind::module ? "module" : "cgi";
    pool.scaling = scaling_word(service.config.scaling);
    pool.target = service.policy.target();
    pool.limit = service.policy.limit();
    pool.full = service.policy.times_full();
    if (const auto backlog = backlog_of(service)) {
        pool.queue = static_cast<int>(backlog->waiting);
        pool.queue_size = static_cast<int>(backlog->size);
    }
    pool.settled = service.policy.settled(crew.states(service, now));
    if (pool.limit > 0)
        pool.retry = static_cast<double>(service.policy.backoff().count()) / 1000;
    for (const SharedListener& listener : service.listeners)
        pool.listeners.push_back(listener->bound());
    add_workers(pool, service, crew, now);
    history.add_to(pool);
    return pool;
}

}  // namespace

void History::worker_ended(const CrewMember& worker, const ExitStatus& status)
{
    Past& past = pools_[worker.service->config.name];
    past.requests += worker.slot->report(Clock::now()).requests;
    // Workers that end as they should must not hide those that do not.
    if (past.exits.size() >= most_exits) {
        const auto clean = std::ranges::find(past.exits, true, &control::WorkerExit::clean);
        past.exits.erase(clean == past.exits.end() ? past.exits.begin() : clean);
    }
    past.exits.push_back(
        {time_of_day(), worker.state.pid, worker.describe_end(status), status.clean()});
}

void History::add_to(control::PoolStatus& pool) const
{
    const auto past = pools_.find(pool.name);
    if (past == pools_.end())
        return;
    pool.requests += past->second.requests;
    pool.exits = past->second.exits;
}

std::vector<control::PoolStatus> pools_status(const Services& services,
                                              const Services& removed,
                                              const Crew& crew,
                                              const History& history)
{
    std::vector<control::PoolStatus> pools;
    for (const Services* each : {&services, &removed})
        for (const auto& service : *each)
            pools.push_back(pool_status(*service, crew, history));
    return pools;
}

}  // namespace server
