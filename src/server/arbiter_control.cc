// What tricornctl(1) asks of the arbiter; in a file of its own, since arbiter.cc has the process
// model.
#include "base/process.h"
#include "base/text.h"
#include "config/config.h"
#include "log/log.h"
#include "server/arbiter.h"

#include <algorithm>
#include <csignal>

#include <unistd.h>

namespace server {

using control::Command;
using control::refusal;
using control::Reply;

namespace {

Reply done(std::string message)
{
    Reply reply;
    reply.message = std::move(message);
    return reply;
}

// What makes no sense any more once the server ends.
bool needs_server(Command command)
{
    switch (command) {
    case Command::reload:
    case Command::upgrade:
    case Command::rollback:
    case Command::scale: return true;
    default: return false;
    }
}

}  // namespace

Reply Arbiter::carry_out(const control::Request& request)
{
    if (is_stopping() && needs_server(request.command))
        return refusal("the server is stopping");
    switch (request.command) {
    case Command::status: return status();
    case Command::config: return configuration();
    case Command::reload: return reload_now();
    case Command::stop: return stop_if_another_serves();
    case Command::quit: return stopped(false);
    case Command::reopen: {
        const std::string problems = reopen_logs();
        return problems.empty() ? done("logs reopened") : refusal(problems);
    }
    case Command::upgrade: {
        const std::string in_the_way = upgrade();
        return in_the_way.empty()
                   ? done("the new server is process " + std::to_string(successor_.pid()))
                   : refusal(in_the_way);
    }
    case Command::rollback: return roll_back();
    case Command::scale: return scale(request);
    case Command::kill: return kill_worker(request.pid);
    }
    return refusal("not known");
}

Reply Arbiter::reload_now()
{
    const std::string before = control_.path();
    reload();
    if (!reload_error_.empty())
        return refusal(reload_error_);
    Reply reply = done("reloading");
    if (control_.path() != before)
        reply.control = control_.path();
    return reply;
}

// TERM to the new server.
Reply Arbiter::roll_back()
{
    look_at_other_server();
    if (!successor_.running())
        return refusal("there is no new server that could be stopped");
    restart_retired();
    roll_back_ = true;
    return done("the new server, process " + std::to_string(successor_.pid()) + ", ends");
}

// Unlike TERM, tricornctl can be told that it is too early.
Reply Arbiter::stop_if_another_serves()
{
    look_at_other_server();
    if (const std::string obstacle = too_early_to_stop(); !obstacle.empty())
        return refusal(obstacle + ": wait for it, or stop without it by tricornctl quit");
    return stopped(true);
}

Reply Arbiter::stopped(bool graceful)
{
    look_at_other_server();
    stop(graceful);
    Reply reply = done(graceful ? "stopping" : "stopping at once");
    reply.successor = successor_.pid();
    return reply;
}

Reply Arbiter::configuration() const
{
    Reply reply;
    reply.config = config::print(loaded_);
    return reply;
}

const char* Arbiter::state_word() const
{
    if (mode_ != Mode::serving)
        return mode_ == Mode::draining ? "draining" : "stopping";
    if (hooks_.stop_runs())
        return "on_stop";
    if (ready_)
        return "serving";
    return has_served_ ? "reloading" : "starting";
}

Reply Arbiter::status() const
{
    control::ServerStatus server;
    server.version = PACKAGE_VERSION;
    server.pid = ::getpid();
    server.uptime = seconds_between(started_, Clock::now());
    server.state = state_word();
    server.config = loaded_.file;
    server.reloads = reloads_;
    server.reload_error = reload_error_.empty() ? boot_error_ : reload_error_;
    server.successor = successor_.pid();
    server.successor_ready = successor_.ready();
    server.successor_end = successor_.last_end();
    server.pools = pools_status(services_, removed_, *crew_, history_);
    Reply reply;
    reply.status = std::move(server);
    return reply;
}

// As TTIN and TTOU: until the next reload.
Reply Arbiter::scale(const control::Request& request)
{
    const auto service = find_service(services_, request.pool);
    if (!service)
        return refusal("there is no pool " + request.pool);
    Pool& policy = service->policy;
    const int wanted = request.relative ? policy.limit() + request.count : request.count;
    if (wanted < 1)
        return refusal("a pool has at least 1 worker, and " + request.pool + " has " +
                       std::to_string(policy.limit()));
    if (wanted > control::most_workers)
        return refusal("a pool has at most " + std::to_string(control::most_workers) +
                       " workers, and " + request.pool + " has " + std::to_string(policy.limit()));
    policy.resize(wanted);
    const bool fixed = service->config.scaling == config::Scaling::fixed;
    const std::string text = "[" + request.pool + "] " + (fixed ? "" : "up to ") +
                             text::counted(policy.limit(), "worker") + " from now on";
    logging::info("%s", text.c_str());
    return done(text);
}

// As a quick stop of this worker: its request is ended, and so is the worker if it takes too long.
Reply Arbiter::kill_worker(pid_t pid)
{
    const auto& members = crew_->members();
    const auto worker = std::ranges::find_if(
        members, [pid](const CrewMember& member) { return member.state.pid == pid; });
    if (worker == members.end())
        return refusal("process " + std::to_string(pid) + " is no worker of this server");
    const std::string name = worker->name();
    if (worker->state.hurried == never)
        crew_->hurry(pid, Clock::now());
    return done(name + " ends");
}

}  // namespace server
