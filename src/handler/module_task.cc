#include "handler/module_task.h"

#include "log/log.h"

#include <cstdlib>
#include <exception>

#include <cxxabi.h>
#include <unistd.h>

namespace handler {

namespace {

fcgi::StreamLimits limits_of(const config::Pool& pool, int wake, TimePoint now)
{
    fcgi::StreamLimits limits;
    limits.body_timeout = pool.body_timeout;
    limits.send_timeout = pool.send_timeout;
    limits.deadline = deadline_after(now, pool.request_timeout);
    limits.max_body = pool.max_body_size;
    if (pool.timeout.count() > 0)
        limits.beat = pool.timeout / 2;
    limits.wake = wake;
    limits.ignore_abort = pool.ignore_client_abort;
    return limits;
}

std::string over(const char* what, Duration limit)
{
    return std::string(what) + " (" + config::format_duration(limit) + ")";
}

// The exception that is being handled, in words for the log.
std::string current_exception_text()
{
    const std::type_info* const type = abi::__cxa_current_exception_type();
    std::string text = "an exception";
    if (type != nullptr) {
        int status = 0;
        char* const name = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
        text += std::string(" of type ") + (status == 0 ? name : type->name());
        std::free(name);
    }
    try {
        throw;
    } catch (const std::exception& error) {
        text += std::string(": ") + error.what();
    } catch (...) {
        // There is no more to tell.
    }
    return text;
}

}  // namespace

ModuleTask::ModuleTask(const config::Pool& pool,
                       fcgi::Connection& client,
                       const Module& module,
                       cgi::Environment environment,
                       TimePoint now)
    : pool_(pool), client_(client), module_(module), environment_(std::move(environment)),
      streams_(client, limits_of(pool, module.worker.wake, now), *this),
      reply_(pool, client, outcome_, pool.module), errors_(pool, client, pool.module, ::getpid())
{
    outcome_.script = pool.module;
}

TimePoint ModuleTask::prepare(std::vector<pollfd>& set)
{
    set.push_back({done() ? -1 : client_.fd(), client_.poll_events(), 0});
    return called_ ? send_deadline_ : TimePoint::min();
}

void ModuleTask::advance(std::span<const pollfd> ready, TimePoint now)
{
    if (ready[0].revents != 0)
        client_.note_poll(ready[0].revents);
    if (!called_) {
        run(now);
        now = Clock::now();
    }
    deliver(now);
}

bool ModuleTask::done() const
{
    return called_ && (expired_ || client_.gone() || !client_.output_pending());
}

void ModuleTask::stop(TimePoint now)
{
    if (!called_)
        fail(503, "its worker had to end");
    called_ = true;
    send_deadline_ = now;
}

// --- the call -----------------------------------------------------------------------------------

void ModuleTask::run(TimePoint now)
{
    called_ = true;
    call(now);
    streams_.close();
    errors_.end();
    if (returned_ && *returned_ != 0)
        logging::info("[%s] %s, %s: returned %d",
                      pool_.name.c_str(),
                      pool_.module.c_str(),
                      request_line(client_.params()).c_str(),
                      *returned_);
}

void ModuleTask::call(TimePoint now)
{
    try {
        auto* const envp = const_cast<char**>(environment_.envp());
        returned_ = module_.handle(envp, streams_.in(), streams_.out(), streams_.err());
        if (*returned_ == 0)
            returned_ = streams_.exit_status();
        outcome_.exit = ExitStatus{false, *returned_};
    } catch (const abi::__forced_unwind&) {
        throw;  // the thread is being ended, which cannot be stopped
    } catch (...) {
        streams_.discard();
        fail(500, "the module threw " + current_exception_text());
    }
    outcome_.program_time = std::chrono::ceil<Duration>(Clock::now() - now);
}

// What the client has not taken yet.
void ModuleTask::deliver(TimePoint now)
{
    client_.drop_body();
    if (client_.output_left() != output_left_) {
        output_left_ = client_.output_left();
        send_deadline_ = deadline_after(now, pool_.send_timeout);
    }
    if (now < send_deadline_ || !client_.output_pending())
        return;
    logging::info("[%s] %s: the client took nothing for %s",
                  pool_.name.c_str(),
                  pool_.module.c_str(),
                  over("send_timeout", pool_.send_timeout).c_str());
    client_.give_up();
    expired_ = true;
}

// --- the reply ----------------------------------------------------------------------------------

bool ModuleTask::take_output(std::string_view bytes, bool last)
{
    if (reply_.ended())
        return left_ && pool_.ignore_client_abort;
    if (!last)
        return reply_.write(bytes);
    errors_.end();
    const int status = returned_ ? *returned_ : streams_.exit_status();
    const bool complete = reply_.end(bytes, ExitStatus{false, status});
    errors_.reply_ended();
    return complete;
}

// --- failures -----------------------------------------------------------------------------------

void ModuleTask::stream_failed(fcgi::StreamFailure why)
{
    switch (why) {
    case fcgi::StreamFailure::client_left:
        if (client_.aborted() && !reply_.ended())
            client_.finish({}, 0);
        abandon(499);
        return;
    case fcgi::StreamFailure::protocol:
        logging::warning("[%s] %s: the web server broke the protocol: %s",
                         pool_.name.c_str(),
                         pool_.module.c_str(),
                         client_.error().c_str());
        abandon(400);
        return;
    case fcgi::StreamFailure::send_timeout:
        logging::info("[%s] %s: the client took nothing for %s",
                      pool_.name.c_str(),
                      pool_.module.c_str(),
                      over("send_timeout", pool_.send_timeout).c_str());
        client_.give_up();
        abandon(499);
        return;
    case fcgi::StreamFailure::body_timeout:
        fail(408,
             "nothing of the request body came for " + over("body_timeout", pool_.body_timeout));
        return;
    case fcgi::StreamFailure::deadline:
        fail(504, "ran longer than " + over("request_timeout", pool_.request_timeout));
        return;
    case fcgi::StreamFailure::too_large: fail(413, "the body is larger than max_body_size"); return;
    case fcgi::StreamFailure::stopping: fail(503, "its worker had to end"); return;
    }
}

// There is nobody to reply to any more.
void ModuleTask::abandon(int status)
{
    left_ = left_ || !reply_.ended();
    reply_.abandon(status);
    errors_.reply_ended();
}

void ModuleTask::fail(int status, const std::string& reason)
{
    reply_.fail(status, reason);
    errors_.reply_ended();
}

}  // namespace handler
