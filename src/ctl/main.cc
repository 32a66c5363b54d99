// main.cc - tricornctl: looks at a running server and tells it what to do.
// Source   PROTOCOL and EXIT STATUS in tricornctl(1).

#include "base/error.h"
#include "base/text.h"
#include "config/values.h"
#include "control/request.h"
#include "ctl/client.h"
#include "ctl/options.h"
#include "ctl/show.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <thread>

namespace {

using control::Command;
using ctl::Answer;
using ctl::Client;
using ctl::Options;

constexpr int exit_unreachable = 2;
constexpr Duration look_again{100};
// For one answer, or as long as --timeout says, but for a moment at least: a server that is well
// answers within milliseconds; one that has to find out whether it can listen at a new address may
// need longer.
constexpr Duration patience{10'000};
constexpr Duration least_patience{1'000};
// Workers that did not boot were tried again after 1 s: once may have been bad luck.
constexpr double hopeless_retry = 2;

int fail(int code, const std::string& text)
{
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text::escape_control(text.substr(begin, end - begin));
        std::fprintf(stderr, "tricornctl: %s\n", line.c_str());
        begin = end + 1;
    }
    return code;
}

void print(const std::string& text)
{
    std::fputs(text.c_str(), stdout);
}

// Why the new workers will not serve; empty while there is hope.
std::string trouble(const control::ServerStatus& server)
{
    if (server.state == "draining" || server.state == "stopping")
        return "the server is stopping";
    for (const control::PoolStatus& pool : server.pools) {
        if (pool.settled || pool.retry < hopeless_retry)
            continue;
        std::string text = "pool " + pool.name + ": new workers do not boot, see the log";
        if (!pool.exits.empty())
            text +=
                "; process " + std::to_string(pool.exits.back().pid) + " " + pool.exits.back().how;
        return text;
    }
    return {};
}

// An exit status, or none as yet.
using Verdict = std::optional<int>;

// Asks for the state until `judge` has an exit status for it; `late`: what is not so yet.
int wait_for(const Client& client,
             const Options& options,
             const std::string& late,
             const std::function<Verdict(const control::ServerStatus&)>& judge)
{
    const TimePoint deadline = Clock::now() + options.timeout;
    for (;;) {
        const Answer answer = client.ask("status");
        if (!answer.reply.status)
            return fail(exit_failure, "the server says nothing of its state");
        if (const auto status = judge(*answer.reply.status))
            return *status;
        if (Clock::now() >= deadline)
            return fail(exit_failure,
                        late + " yet after " + config::format_duration(options.timeout));
        std::this_thread::sleep_for(look_again);
    }
}

int wait_reloaded(const Client& client, const Options& options)
{
    return wait_for(client,
                    options,
                    "the new workers do not serve",
                    [](const control::ServerStatus& server) -> Verdict {
                        if (server.state == "serving")
                            return exit_ok;
                        const std::string why = trouble(server);
                        return why.empty() ? Verdict() : fail(exit_failure, why);
                    });
}

// The new server has said that it is ready, or has taken the place of the old one already.
bool upgraded(const control::ServerStatus& server, pid_t fresh)
{
    return server.successor_ready || (server.pid == fresh && server.state == "serving");
}

// A server that does not tell of the new one is of a version that has nothing to wait for.
int wait_upgraded(const Client& client, const Options& options, std::string& message)
{
    pid_t fresh = 0;
    return wait_for(client,
                    options,
                    "the new server is not ready",
                    [&](const control::ServerStatus& server) -> Verdict {
                        if (server.successor < 0)
                            return exit_ok;
                        if (upgraded(server, fresh)) {
                            message += ", it is ready";
                            return exit_ok;
                        }
                        if (server.pid != fresh)
                            fresh = server.successor;
                        if (fresh != 0)
                            return std::nullopt;
                        return fail(exit_failure,
                                    "the new server has ended: " + server.successor_end +
                                        ", see the log");
                    });
}

int wait_rolled_back(const Client& client, const Options& options)
{
    return wait_for(client,
                    options,
                    "the new server has not ended",
                    [](const control::ServerStatus& server) -> Verdict {
                        return server.successor <= 0 ? Verdict(exit_ok) : std::nullopt;
                    });
}

int wait_stopped(const Client& client, const Options& options, const Answer& answer)
{
    if (ctl::wait_end(answer.server, client, Clock::now() + options.timeout))
        return exit_ok;
    return fail(exit_failure,
                "the server has not ended yet after " + config::format_duration(options.timeout));
}

int wait_taken_over(const Client& client,
                    const Options& options,
                    pid_t successor,
                    std::string& message)
{
    const std::string process = "the new server, process " + std::to_string(successor);
    switch (ctl::wait_taken_over(client, successor, Clock::now() + options.timeout)) {
    case ctl::Takeover::done: message = "stopped, " + process + ", goes on"; return exit_ok;
    case ctl::Takeover::silent:
        message = "stopped, " + process + ", does not answer at this socket";
        return exit_ok;
    case ctl::Takeover::failed:
        return fail(exit_failure, process + ", has ended, and this one stops: see the log");
    case ctl::Takeover::late: break;
    }
    return fail(exit_failure,
                process + ", has not taken over yet after " +
                    config::format_duration(options.timeout));
}

void show(const std::string& word, const Answer& answer)
{
    const control::Reply& reply = answer.reply;
    if (reply.status && word == "pools")
        print(ctl::show_pools(*reply.status));
    else if (reply.status && word == "workers")
        print(ctl::show_workers(*reply.status));
    else if (reply.status)
        print(ctl::show_status(*reply.status));
    print(ctl::show_lines(reply.config));
}

Client client_of(const std::string& socket, const Options& options)
{
    return {socket, std::clamp(options.timeout, least_patience, patience)};
}

// moved: where the server is controlled from now on, if that is somewhere else, or nowhere.
int finish_reload(const Client& client,
                  const Options& options,
                  const std::optional<std::string>& moved,
                  std::string& message)
{
    message = "reloaded";
    if (!moved)
        return wait_reloaded(client, options);
    if (moved->empty()) {
        message = "reloading, and without a control socket from now on";
        return exit_ok;
    }
    message += ", controlled at " + *moved + " from now on";
    return wait_reloaded(client_of(*moved, options), options);
}

// What remains to be done when the server has said yes.
int finish(Command command, const Client& client, const Options& options, const Answer& answer)
{
    int status = exit_ok;
    std::string message = answer.reply.message;
    if (command == Command::reload) {
        status = finish_reload(client, options, answer.reply.control, message);
    } else if (command == Command::rollback) {
        status = wait_rolled_back(client, options);
        message = "the upgrade is taken back";
    } else if (command == Command::upgrade) {
        status = wait_upgraded(client, options, message);
    } else if (command == Command::stop || command == Command::quit) {
        message = "stopped";
        const pid_t successor = answer.reply.successor;
        status = successor == 0 ? wait_stopped(client, options, answer)
                                : wait_taken_over(client, options, successor, message);
    }
    if (status == exit_ok && !options.json && !message.empty())
        print(ctl::show_lines(message));
    return status;
}

int command(const Options& options)
{
    std::string line;
    for (const std::string& word : options.words)
        line += (line.empty() ? "" : " ") + word;
    const auto request = control::parse_request(line);
    if (!request || line.size() > control::longest_request)
        throw StartError(exit_usage,
                         (request ? "too long a request" : request.error()) +
                             " (see tricornctl --help)");
    const Client client = client_of(ctl::socket_path(options), options);
    const Answer answer = client.ask(line);
    if (options.json)
        print(answer.document);
    if (!answer.reply.ok)
        return fail(exit_failure, answer.reply.error);
    if (!options.json)
        show(options.words.front(), answer);
    return finish(request.value().command, client, options, answer);
}

int run(int argc, char** argv)
{
    const Options options = ctl::parse(argc, argv);
    if (options.help) {
        print(ctl::help());
        return exit_ok;
    }
    if (options.version) {
        print("tricornctl " PACKAGE_VERSION "\n");
        return exit_ok;
    }
    if (options.words.empty())
        throw StartError(exit_usage, "no command was given (see tricornctl --help)");
    return command(options);
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        const int status = run(argc, argv);
        return std::fflush(stdout) == 0 ? status : fail(exit_failure, "cannot write the output");
    } catch (const ctl::Unreachable& error) {
        return fail(exit_unreachable, error.what());
    } catch (const StartError& error) {
        return fail(error.exit_code(), error.what());
    } catch (const std::exception& error) {
        return fail(exit_failure, error.what());
    }
}
