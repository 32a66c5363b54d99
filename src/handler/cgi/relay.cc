#include "handler/cgi/relay.h"

#include "log/log.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <unistd.h>

namespace cgi {

namespace {

enum Slot { client_slot, input_slot, output_slot, errors_slot, program_slot, slot_count };

// One read fills one record.
constexpr std::size_t chunk = fcgi::max_content;

// Reads of one pipe in one turn: what is busy must not keep the others waiting.
constexpr int max_reads = 8;

// stdout has ended but the program has not: how long END_REQUEST waits for the exit status.
constexpr Duration exit_wait{100};

// A killed program that is stuck in the kernel: how long the worker waits for it.
constexpr Duration give_up_after{5'000};

// The same when the whole server stops at once: for the program, and for the delivery of the reply.
constexpr Duration stop_grace{1'000};

bool try_again(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

}  // namespace

Relay::Relay(const config::Pool& pool,
             fcgi::Connection& client,
             Child child,
             std::string script,
             TimePoint now)
    : pool_(pool), client_(client), child_(std::move(child)),
      reply_(pool, client, outcome_, script + " (" + std::to_string(child_.pid()) + ")"),
      errors_(pool, client, script, child_.pid()), started_(now), program_time_(now),
      body_time_(now), send_time_(now)
{
    outcome_.script = std::move(script);
    feed_input(now);
    // What came with the head may have been all: poll tells of nothing that is read already.
    watch_client(now);
    watch_body(now);
}

TimePoint Relay::prepare(std::vector<pollfd>& set)
{
    const auto add = [&set](bool wanted, int fd, short events) {
        set.push_back({wanted ? fd : -1, events, 0});
    };
    const bool can_send = !client_.output_pending();
    const bool connected = !client_.gone() && client_.error().empty();
    add(connected && (!reply_.ended() || !can_send), client_.fd(), client_.poll_events());
    // Without events poll still tells when the program has closed its stdin.
    add(bool(child_.input), child_.input.get(), client_.body().empty() ? short{0} : short{POLLOUT});
    // What the client does not take is not read from the program: that is the back-pressure.
    add(child_.output && can_send, child_.output.get(), POLLIN);
    add(child_.errors && can_send, child_.errors.get(), POLLIN);
    add(program_ != Program::over, child_.pidfd(), POLLIN);
    return std::min({idle_deadline(),
                     body_deadline(),
                     send_deadline(),
                     end_deadline(),
                     request_deadline(),
                     kill_deadline_});
}

void Relay::advance(std::span<const pollfd> ready, TimePoint now)
{
    if (ready[client_slot].revents != 0)
        client_.note_poll(ready[client_slot].revents);
    if ((ready[input_slot].revents & (POLLERR | POLLNVAL)) != 0)
        child_.input.reset();  // the program does not want the rest, which is its right
    feed_input(now);
    const bool over = program_ == Program::over || ready[program_slot].revents != 0;
    if (over || ready[errors_slot].revents != 0)
        read_errors(now);  // before the exit is logged, which it may explain
    if (ready[program_slot].revents != 0)
        watch_program(now);  // before its last output, which then goes out with the end
    if (over || ready[output_slot].revents != 0)
        read_output(now);
    watch_client(now);  // after all that can have noticed that it is gone, writing included
    watch_clock(now);
    watch_body(now);
    settle(now);
}

bool Relay::done() const
{
    const bool delivered = client_.gone() || !client_.output_pending();
    return reply_.ended() && delivered && program_ == Program::over;
}

void Relay::stop(TimePoint now)
{
    if (!reply_.ended())
        fail(503, "its worker had to end", now);
    terminate(now);
    stop_deadline_ = now + stop_grace;
    if (program_ != Program::over)
        kill_deadline_ = std::min(kill_deadline_, stop_deadline_);
}

// --- the client ---------------------------------------------------------------------------------

void Relay::watch_client(TimePoint now)
{
    if (reply_.ended())
        return;
    if (client_.aborted()) {
        client_.finish({}, 0);
        abandon(499, now);
    } else if (!client_.error().empty()) {
        logging::warning("[%s] %s: the web server broke the protocol: %s",
                         pool_.name.c_str(),
                         outcome_.script.c_str(),
                         client_.error().c_str());
        client_.give_up();  // nothing is read or sent any more: what is queued would stay for ever
        abandon(400, now);
    } else if (client_.gone()) {
        abandon(499, now);
    }
}

// A program that takes half an upload for the whole does harm, which ignore_client_abort does not
// ask for. The signal comes first: the end of its stdin would look like the end of the body.
void Relay::watch_body(TimePoint now)
{
    if (client_.gone())
        feed_input(now);  // no poll will tell of what it had sent before
    if (child_.input && client_.body_cut())
        terminate(now);
}

// There is nobody to reply to any more. What the program still writes is read and dropped, so that
// it can end.
void Relay::abandon(int status, TimePoint now)
{
    reply_.abandon(status);
    errors_.reply_ended();
    if (!pool_.ignore_client_abort)
        terminate(now);
}

// Of a client that is gone, too: it may have sent all before.
bool Relay::has_input()
{
    if (client_.gone())
        client_.receive();
    return !client_.body().empty();
}

// As much of the body as the program takes. EPIPE is no error: it may answer without reading.
void Relay::feed_input(TimePoint now)
{
    while (child_.input && has_input()) {
        const std::string_view body = client_.body();
        const ssize_t written = ::write(child_.input.get(), body.data(), body.size());
        if (try_again(written))
            return;
        if (written < 0) {
            child_.input.reset();
            break;
        }
        received_ += static_cast<std::size_t>(written);
        program_time_ = body_time_ = now;
        client_.consume(static_cast<std::size_t>(written));
    }
    if (!child_.input)
        received_ += client_.drop_body();
    else if (client_.body_complete())
        child_.input.reset();
    if (pool_.max_body_size > 0 && received_ > pool_.max_body_size && !reply_.ended())
        fail(413, "the body is larger than max_body_size", now);
}

// --- the program --------------------------------------------------------------------------------

void Relay::read_output(TimePoint now)
{
    char buffer[chunk];
    std::size_t held = 0;
    for (int i = 0; i < max_reads && child_.output && !client_.output_pending(); ++i) {
        const ssize_t got = ::read(child_.output.get(), buffer + held, sizeof buffer - held);
        if (try_again(got))
            break;
        if (got <= 0) {
            child_.output.reset();
            output_end_ = now;
            break;
        }
        program_time_ = now;
        held += static_cast<std::size_t>(got);
        // Of a program that has exited the end is likely to follow, and goes out with this.
        if (program_ == Program::over && held < sizeof buffer)
            continue;
        if (!reply_.write({buffer, held}))
            reply_over(now);
        held = 0;
    }
    if (held == 0)
        return;
    // Without stdout settle() ends the reply in this turn.
    const bool all = !child_.output && program_ == Program::over;
    const std::string_view rest(buffer, held);
    if (!(all ? reply_.write_last(rest) : reply_.write(rest)))
        reply_over(now);
}

void Relay::read_errors(TimePoint now)
{
    char buffer[chunk];
    for (int i = 0; i < max_reads && child_.errors; ++i) {
        const ssize_t got = ::read(child_.errors.get(), buffer, sizeof buffer);
        if (try_again(got))
            return;
        if (got <= 0) {
            child_.errors.reset();
            return;
        }
        // What a process that it left behind says does not make the reply wait.
        if (program_ != Program::over)
            program_time_ = now;
        errors_.feed({buffer, static_cast<std::size_t>(got)});
    }
}

void Relay::watch_program(TimePoint now)
{
    outcome_.exit = child_.exit_status();
    if (!outcome_.exit)
        return;
    if (!outcome_.exit->clean() && program_ == Program::running) {
        errors_.end();  // its last words may have no line end
        logging::info("[%s] %s (%d) %s",
                      pool_.name.c_str(),
                      outcome_.script.c_str(),
                      child_.pid(),
                      describe(*outcome_.exit).c_str());
    }
    outcome_.program_time = std::chrono::ceil<Duration>(now - started_);
    program_ = Program::over;
    exited_ = now;
    kill_deadline_ = never;
    child_.input.reset();
}

// TERM to the whole process group; watch_clock() follows with KILL.
void Relay::terminate(TimePoint now)
{
    if (program_ != Program::running)
        return;
    child_.signal(SIGTERM);
    program_ = Program::told;
    kill_deadline_ = now + pool_.kill_grace;
    child_.input.reset();
}

// --- deadlines ----------------------------------------------------------------------------------

bool Relay::waits_for_body() const
{
    return child_.input && client_.body().empty() && !client_.body_ended();
}

// The program is idle only while nothing else is waited for.
TimePoint Relay::idle_deadline() const
{
    if (program_ != Program::running || client_.output_pending() || waits_for_body())
        return never;
    return deadline_after(program_time_, pool_.script_idle_timeout);
}

TimePoint Relay::body_deadline() const
{
    if (reply_.ended() || !waits_for_body())
        return never;
    return deadline_after(body_time_, pool_.body_timeout);
}

TimePoint Relay::send_deadline() const
{
    if (!client_.output_pending())
        return never;
    return std::min(deadline_after(send_time_, pool_.send_timeout), stop_deadline_);
}

// When a reply is ended although not all is known: the exit status after the end of stdout, or
// the end of stdout after the exit (somebody whom the program left behind still holds it).
TimePoint Relay::end_deadline() const
{
    if (reply_.ended())
        return never;
    if (!child_.output)
        return program_ == Program::over ? TimePoint::min() : output_end_ + exit_wait;
    // What the client has not taken yet, and what keeps coming, is never cut.
    if (exited_ == never || client_.output_pending())
        return never;
    return std::max(exited_, program_time_) + pool_.drain_time;
}

TimePoint Relay::request_deadline() const
{
    const bool served = reply_.ended() && program_ != Program::running;
    return served ? never : deadline_after(started_, pool_.request_timeout);
}

void Relay::watch_clock(TimePoint now)
{
    const std::size_t left = client_.output_left();
    if (left != output_left_) {
        output_left_ = left;
        send_time_ = program_time_ = now;  // the program had to wait for the client
    }
    watch_delivery(now);
    watch_limits(now);
    watch_signals(now);
}

void Relay::watch_delivery(TimePoint now)
{
    if (now < send_deadline() || client_.gone())
        return;
    const std::string why =
        now >= stop_deadline_
            ? "did not take its reply before its worker had to end"
            : "took nothing for send_timeout (" + config::format_duration(pool_.send_timeout) + ")";
    logging::info(
        "[%s] %s: the client %s", pool_.name.c_str(), outcome_.script.c_str(), why.c_str());
    client_.give_up();
    abandon(499, now);
}

void Relay::watch_signals(TimePoint now)
{
    if (now >= kill_deadline_ && program_ == Program::told) {
        child_.signal(SIGKILL);
        program_ = Program::killed;
        kill_deadline_ = now + give_up_after;
    } else if (now >= kill_deadline_ && program_ == Program::killed) {
        logging::error("[%s] %s (%d) does not end although it was killed",
                       pool_.name.c_str(),
                       outcome_.script.c_str(),
                       child_.pid());
        program_ = Program::over;
        kill_deadline_ = never;
        child_.output.reset();
    }
}

void Relay::watch_limits(TimePoint now)
{
    if (now >= request_deadline())
        fail(504,
             "ran longer than request_timeout (" + config::format_duration(pool_.request_timeout) +
                 ")",
             now);
    else if (now >= idle_deadline())
        fail(504,
             "neither read nor wrote for script_idle_timeout (" +
                 config::format_duration(pool_.script_idle_timeout) + ")",
             now);
    else if (now >= body_deadline())
        fail(408,
             "nothing of the request body came for body_timeout (" +
                 config::format_duration(pool_.body_timeout) + ")",
             now);
}

// --- the end ------------------------------------------------------------------------------------

void Relay::settle(TimePoint now)
{
    if (!reply_.ended() && now >= end_deadline()) {
        if (child_.output)
            logging::info("[%s] %s has exited, but a process it left behind holds its stdout",
                          pool_.name.c_str(),
                          outcome_.script.c_str());
        if (!reply_.end({}, outcome_.exit))
            reply_over(now);
        errors_.reply_ended();
    }
    // The program may go on after its reply; the web server need not wait for that.
    if (reply_.ended() && program_ != Program::over && !client_.output_pending())
        client_.shut_down();
    if (done()) {
        read_errors(now);
        errors_.end();
    }
}

// Replies with an error, or makes the transfer fail; ends the program.
void Relay::fail(int status, const std::string& reason, TimePoint now)
{
    reply_.fail(status, reason);
    reply_over(now);
}

void Relay::reply_over(TimePoint now)
{
    errors_.reply_ended();
    terminate(now);
}

}  // namespace cgi
