// module_task.h - one request in a module: all the work is done in the first advance(), the rest of
// the task's life is the delivery of what the socket did not take.
// Units    durations are the pool's, in milliseconds.
// Errors   none thrown, whatever the module throws; see module.h.
// Owner    the worker, by Task. The connection, the pool and the module outlive it.
// Source   RFC 3875 section 6 for what a module writes.
#pragma once

#include "fcgi/streams.h"
#include "handler/cgi/environment.h"
#include "handler/handler.h"
#include "handler/reply.h"
#include "handler/stderr_lines.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct FCGX_Stream;

namespace handler {

// int tricorn_handle(FCGX_ParamArray envp, FCGX_Stream *in, FCGX_Stream *out, FCGX_Stream *err)
using ModuleEntry = int (*)(char**, FCGX_Stream*, FCGX_Stream*, FCGX_Stream*);

// A module keeps its worker to itself for the whole of a request; by this the two stay in touch.
struct Lifeline {
    // Called with every sign of life that a module gives: whatever it reads or writes, and while
    // it waits for the client. False: the server stops at once.
    std::function<bool()> alive = [] { return true; };
    int wake = -1;  // a descriptor that is readable when alive() has news
};

// What a loaded module is to a request.
struct Module {
    ModuleEntry handle = nullptr;
    Lifeline worker;
};

class ModuleTask : public Task, private fcgi::StreamOwner {
public:
    ModuleTask(const config::Pool& pool,
               fcgi::Connection& client,
               const Module& module,
               cgi::Environment environment,
               TimePoint now);

    TimePoint prepare(std::vector<pollfd>& set) override;
    void advance(std::span<const pollfd> ready, TimePoint now) override;
    bool done() const override;
    void stop(TimePoint now) override;

private:
    void run(TimePoint now);
    void call(TimePoint now);
    void deliver(TimePoint now);

    bool take_output(std::string_view bytes, bool last) override;
    void take_errors(std::string_view bytes) override { errors_.feed(bytes); }
    void stream_failed(fcgi::StreamFailure why) override;
    bool alive() override { return module_.worker.alive(); }

    void fail(int status, const std::string& reason);
    void abandon(int status);

    const config::Pool& pool_;
    fcgi::Connection& client_;
    const Module& module_;
    cgi::Environment environment_;

    fcgi::Streams streams_;
    Reply reply_;
    StderrLines errors_;

    bool left_ = false;  // the client, before the reply was complete
    bool called_ = false;
    std::optional<int> returned_;

    std::size_t output_left_ = 0;  // of the connection when send_deadline_ was set
    TimePoint send_deadline_ = never;
    bool expired_ = false;
};

}  // namespace handler
