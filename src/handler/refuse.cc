#include "handler/refuse.h"

#include "handler/queue.h"
#include "handler/reply.h"

#include <algorithm>
#include <charconv>

namespace handler {

namespace {

// An error reply is all there is to do; it only has to reach the client.
class ErrorReply : public Task {
public:
    ErrorReply(const config::Pool& pool,
               fcgi::Connection& client,
               int status,
               const std::string& reason,
               TimePoint now)
        : client_(client), deadline_(deadline_after(now, pool.send_timeout))
    {
        Reply(pool, client, outcome_, {}).fail(status, reason);
    }

    TimePoint prepare(std::vector<pollfd>& set) override
    {
        set.push_back({done() ? -1 : client_.fd(), client_.poll_events(), 0});
        return deadline_;
    }

    void advance(std::span<const pollfd> ready, TimePoint now) override
    {
        if (ready[0].revents != 0)
            client_.note_poll(ready[0].revents);
        client_.drop_body();
        expired_ = now >= deadline_;
    }

    bool done() const override { return expired_ || client_.gone() || !client_.output_pending(); }

    void stop(TimePoint now) override { deadline_ = now; }

private:
    fcgi::Connection& client_;
    TimePoint deadline_;
    bool expired_ = false;
};

}  // namespace

std::unique_ptr<Task> refuse(const config::Pool& pool,
                             fcgi::Connection& client,
                             int status,
                             const std::string& reason,
                             TimePoint now)
{
    return std::make_unique<ErrorReply>(pool, client, status, reason, now);
}

std::unique_ptr<Task> check_limits(const config::Pool& pool,
                                   fcgi::Connection& client,
                                   TimePoint now)
{
    if (pool.queue_timeout.count() > 0) {
        const std::string_view start = client.params().get("HTTP_X_REQUEST_START");
        const Duration wait =
            std::max(wait_since(start, std::chrono::system_clock::now()), silence_of(client.fd()));
        if (wait > pool.queue_timeout)
            return refuse(pool,
                          client,
                          503,
                          "waited for a worker for " + config::format_duration(wait) +
                              ", longer than queue_timeout",
                          now);
    }
    if (client.params_too_large())
        return refuse(pool,
                      client,
                      431,
                      "the parameters are larger than max_params_size (" +
                          std::to_string(pool.max_params_size) + " bytes)",
                      now);
    const std::string_view length = client.params().get("CONTENT_LENGTH");
    std::uint64_t size = 0;
    const auto read = std::from_chars(length.data(), length.data() + length.size(), size);
    const bool huge = read.ec == std::errc::result_out_of_range;
    if (pool.max_body_size > 0 && (size > pool.max_body_size || huge))
        return refuse(pool,
                      client,
                      413,
                      "a body of " + std::string(length) + " bytes is larger than max_body_size (" +
                          std::to_string(pool.max_body_size) + " bytes)",
                      now);
    if (!length.empty() && (read.ec != std::errc() || read.ptr != length.data() + length.size()))
        return refuse(
            pool, client, 400, "CONTENT_LENGTH is no number: " + std::string(length), now);
    return nullptr;
}

}  // namespace handler
