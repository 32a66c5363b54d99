#include "server/crew.h"

#include "base/error.h"
#include "log/log.h"
#include "server/boot.h"
#include "server/channel.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <tuple>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

namespace server {

namespace {

// A worker that ends before this, without having served a request, has not really booted.
constexpr Duration proving_time{1'000};

// Rounds of the arbiter's loop are at most a second apart, unless it was kept from running.
constexpr Duration longest_round{2'000};

constexpr int any_change = WEXITED | WSTOPPED | WCONTINUED;

// What a worker does, in words.
std::string work_of(const WorkerReport& report, TimePoint now)
{
    if (!report.busy)
        return "idle";
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f s", seconds_between(report.request_started, now));
    return report.request + " " + report.script + " for " + seconds;
}

const char* in_words(Reason reason)
{
    switch (reason) {
    case Reason::surplus: return "not needed any more";
    case Reason::reload: return "reload";
    case Reason::requests: return "max_requests";
    case Reason::age: return "max_worker_age";
    case Reason::memory: return "max_worker_memory";
    }
    return "";
}

// SIGKILL that is not ours.
const char* who_killed(std::optional<bool> out_of_memory)
{
    if (!out_of_memory)
        return ", not by the arbiter: out of memory?";
    return *out_of_memory ? ", not by the arbiter: out of memory"
                          : ", not by the arbiter, nor for want of memory";
}

bool has_ended(const siginfo_t& info)
{
    return info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
}

// What waitid(2) has to be asked for to give that news again.
int kind_of(const siginfo_t& info)
{
    if (has_ended(info))
        return WEXITED;
    return info.si_code == CLD_CONTINUED ? WCONTINUED : WSTOPPED;
}

// A program whose worker died: what it leaves of its process group goes with it. It is not reaped
// yet, so its number cannot be anybody else's.
void end_group(const siginfo_t& info)
{
    if (info.si_code == CLD_KILLED && info.si_status == SIGKILL &&
        ::getpgid(info.si_pid) == info.si_pid)
        ::kill(-info.si_pid, SIGKILL);
}

void note_change(CrewMember& worker, const siginfo_t& info)
{
    worker.stopped = info.si_code == CLD_STOPPED;
    logging::warning("%s was %s by %s",
                     worker.name().c_str(),
                     worker.stopped ? "stopped" : "continued",
                     signal_name(info.si_status).c_str());
}

}  // namespace

std::string CrewMember::name() const
{
    return "[" + service->config.name + "] worker " + std::to_string(state.pid);
}

std::string CrewMember::describe_end(const ExitStatus& status) const
{
    if (status.clean()) {
        if (state.hurried != never)
            return "was told to end at once";
        if (state.retired != never)
            return std::string("was retired: ") + in_words(reason);
        return state.booted ? "has ended by itself" : "has ended before it had booted";
    }
    std::string text = describe(status);
    if (state.aborted != never)
        text += state.booted ? " after it was silent for longer than timeout"
                             : " after it had not booted in boot_timeout";
    else if (killed)
        text += " by the arbiter, since it did not end";
    else if (status.signalled && status.code == SIGKILL)
        text += who_killed(out_of_memory);
    else if (!state.booted)
        text += " before it had booted";
    return text;
}

bool Crew::spawn(const std::shared_ptr<Service>& service)
{
    CrewMember member;
    member.service = service;
    UniqueFd their_end;
    try {
        member.slot = std::make_unique<Slot>();
        std::tie(member.channel, their_end) = open_channel();
    } catch (const std::exception& error) {
        logging::error("[%s] no new worker: %s", service->config.name.c_str(), error.what());
        return false;
    }
    const WorkerSetup setup{service->config,
                            service->listeners,
                            service->access_log,
                            *member.slot,
                            service->identity,
                            ::getpid(),
                            their_end.get(),
                            wakeup_,
                            daemon_};
    const pid_t pid = ::fork();
    if (pid == 0)
        run_worker(setup);
    if (pid < 0) {
        logging::error("[%s] no new worker: fork: %s",
                       service->config.name.c_str(),
                       errno_text(errno).c_str());
        return false;
    }
    member.slot->hide_from_children();
    member.state.pid = pid;
    member.state.timeout = service->config.timeout;
    member.state.boot_timeout = service->config.boot_timeout;
    member.state.started = Clock::now();
    logging::info("%s started", member.name().c_str());
    members_.push_back(std::move(member));
    return true;
}

std::vector<WorkerState> Crew::states(const Service& service, TimePoint now) const
{
    std::vector<WorkerState> states;
    for (const CrewMember& member : members_) {
        if (member.service->config.name != service.config.name)
            continue;
        const WorkerPulse pulse = member.slot->pulse(now);
        WorkerState& state = states.emplace_back(member.state);
        state.current = member.service.get() == &service;
        state.busy = pulse.busy;
        state.due = pulse.due;
        state.idle_since = pulse.idle_since;
        state.last_beat = std::max(pulse.last_beat, awake_since_);
    }
    return states;
}

void Crew::note_booted(TimePoint now)
{
    for (CrewMember& member : members_) {
        if (!member.state.booted && member.slot->pulse(now).booted) {
            member.state.booted = true;
            member.service->policy.worker_booted();
        }
        if (member.state.booted && !member.proven && now - member.state.started > proving_time) {
            member.proven = true;
            member.service->policy.worker_proven();
        }
    }
}

void Crew::forgive_pause(TimePoint now)
{
    const TimePoint last = std::exchange(last_round_, now);
    if (last == TimePoint::min() || now - last <= longest_round)
        return;
    const auto pause = now - last;
    logging::warning("the server stood still for %.1f s", seconds_between(now - pause, now));
    awake_since_ = now;
    for (CrewMember& member : members_) {
        WorkerState& state = member.state;
        if (!state.booted)
            state.started += pause;
        for (TimePoint* since : {&state.retired, &state.hurried, &state.aborted})
            if (*since != never)
                *since += pause;
    }
}

void Crew::measure_memory()
{
    oom_kills_.look(Clock::now());
    for (CrewMember& member : members_)
        if (member.service->config.max_worker_memory > 0)
            member.state.memory = resident_memory(member.state.pid);
}

// --- signals ------------------------------------------------------------------------------------
// A worker that is not reaped yet keeps its number, so they cannot hit a stranger.

void Crew::retire(const Retirement& retirement, TimePoint now)
{
    CrewMember& member = *find(retirement.pid);
    member.state.retired = now;
    member.reason = retirement.reason;
    ::kill(retirement.pid, SIGTERM);
}

void Crew::keep(pid_t pid)
{
    CrewMember& member = *find(pid);
    if (!std::exchange(member.told_to_stay, true))
        send(member.channel.get(), Message::stay);
}

void Crew::hurry(pid_t pid, TimePoint now)
{
    find(pid)->state.hurried = now;
    ::kill(pid, SIGQUIT);
}

void Crew::abort(pid_t pid, TimePoint now)
{
    CrewMember& member = *find(pid);
    const WorkerReport report = member.slot->report(now);
    if (!member.state.booted)
        logging::critical("%s has not booted in boot_timeout: aborting it", member.name().c_str());
    else
        logging::critical("%s was silent for %.1f s, longer than timeout: aborting it (%s)",
                          member.name().c_str(),
                          seconds_between(report.last_beat, now),
                          work_of(report, now).c_str());
    member.state.aborted = now;
    ::kill(pid, SIGABRT);
}

void Crew::kill(pid_t pid)
{
    find(pid)->killed = true;
    ::kill(pid, SIGKILL);
}

// --- reaping ------------------------------------------------------------------------------------

void Crew::reap(const std::function<void(CrewMember, const ExitStatus&)>& ended,
                const std::function<bool(pid_t, const ExitStatus&)>& other)
{
    for (;;) {
        siginfo_t info{};
        if (::waitid(P_ALL, 0, &info, any_change | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return;
        const pid_t pid = info.si_pid;
        const ExitStatus status{info.si_code != CLD_EXITED, info.si_status};
        CrewMember* const worker = find(pid);
        if (worker == nullptr)
            end_group(info);
        const bool known = worker == nullptr && has_ended(info) && other(pid, status);
        // Only what was looked at: it may have been continued, or killed, meanwhile.
        ::waitid(P_PID, static_cast<id_t>(pid), &info, kind_of(info) | WNOHANG);

        if (worker != nullptr && has_ended(info))
            ended(take_out(pid, status), status);
        else if (worker != nullptr)
            note_change(*worker, info);
        else if (!known)
            logging::debug("process %d, not a worker, %s", pid, describe(status).c_str());
    }
}

CrewMember* Crew::find(pid_t pid)
{
    for (CrewMember& member : members_)
        if (member.state.pid == pid)
            return &member;
    return nullptr;
}

CrewMember Crew::take_out(pid_t pid, const ExitStatus& status)
{
    const auto member = std::find_if(members_.begin(), members_.end(), [pid](const auto& other) {
        return other.state.pid == pid;
    });
    CrewMember taken = std::move(*member);
    members_.erase(member);
    if (status.signalled && status.code == SIGKILL && !taken.killed)
        taken.out_of_memory = oom_kills_.killed_lately(Clock::now());
    return taken;
}

}  // namespace server
