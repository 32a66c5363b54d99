// relay.h - carries one request between the web server and a running CGI program, full duplex:
// request body to stdin, stdout to the reply, stderr to the log, all at once.
// Units    durations are the pool's, in milliseconds.
// Errors   none thrown: what goes wrong becomes a reply (502, 503, 504, 408, 413) as long as the
//          header is not out, an aborted transfer after that, and a line in the error log.
// Owner    the worker, by Task. The connection and the pool outlive it.
// Source   RFC 3875; the deadlocks of fcgiwrap, uWSGI and mod_cgid that half-duplex relays have.
#pragma once

#include "handler/cgi/child.h"
#include "handler/handler.h"
#include "handler/reply.h"
#include "handler/stderr_lines.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cgi {

class Relay : public handler::Task {
public:
    Relay(const config::Pool& pool,
          fcgi::Connection& client,
          Child child,
          std::string script,
          TimePoint now);

    TimePoint prepare(std::vector<pollfd>& set) override;
    void advance(std::span<const pollfd> ready, TimePoint now) override;
    bool done() const override;
    void stop(TimePoint now) override;

private:
    // told: has been sent TERM; killed: KILL; over: has exited, or is given up as unkillable.
    enum class Program { running, told, killed, over };

    void watch_client(TimePoint now);
    void watch_body(TimePoint now);
    bool has_input();
    void feed_input(TimePoint now);
    void read_output(TimePoint now);
    void read_errors(TimePoint now);
    void watch_program(TimePoint now);
    void watch_clock(TimePoint now);
    void watch_delivery(TimePoint now);
    void watch_signals(TimePoint now);
    void watch_limits(TimePoint now);
    void settle(TimePoint now);

    void fail(int status, const std::string& reason, TimePoint now);
    void reply_over(TimePoint now);
    void abandon(int status, TimePoint now);
    void terminate(TimePoint now);

    bool waits_for_body() const;
    TimePoint idle_deadline() const;
    TimePoint body_deadline() const;
    TimePoint send_deadline() const;
    TimePoint end_deadline() const;
    TimePoint request_deadline() const;

    const config::Pool& pool_;
    fcgi::Connection& client_;
    Child child_;
    handler::Reply reply_;
    handler::StderrLines errors_;

    Program program_ = Program::running;
    std::uint64_t received_ = 0;   // bytes of the request body
    std::size_t output_left_ = 0;  // of the connection when send_time_ was set

    const TimePoint started_;
    TimePoint program_time_;        // last sign of life of the program
    TimePoint body_time_;           // last piece of the request body
    TimePoint send_time_;           // last progress of the reply
    TimePoint output_end_ = never;  // stdout ended
    TimePoint exited_ = never;
    TimePoint kill_deadline_ = never;  // when the next, stronger signal is due
    TimePoint stop_deadline_ = never;  // when a worker that stops gives the client up
};

}  // namespace cgi
