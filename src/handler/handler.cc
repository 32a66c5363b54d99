#include "handler/handler.h"

#include "log/log.h"

#include <charconv>

namespace handler {

namespace {

struct Reason {
    int status;
    const char* phrase;
};

constexpr Reason reasons[] = {
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

// An error reply is all there is to do; it only has to reach the client.
class ErrorReply : public Task {
public:
    ErrorReply(fcgi::Connection& client, int status, TimePoint deadline)
        : client_(client), deadline_(deadline)
    {
        const std::string reply = error_reply(status);
        const std::size_t header_size = reply.find("\r\n\r\n") + 4;
        outcome_.status = status;
        outcome_.header = reply.substr(0, header_size);
        outcome_.body_bytes = reply.size() - header_size;
        client_.finish(reply, 0);
    }

    TimePoint prepare(std::vector<pollfd>& set) override
    {
        set.push_back({done() ? -1 : client_.fd(), client_.poll_events(), 0});
        return deadline_;
    }

    void advance(std::span<const pollfd> ready, TimePoint now) override
    {
        if (ready[0].revents != 0) {
            client_.note_poll(ready[0].revents);
            while (!client_.body().empty())
                client_.consume(client_.body().size());
        }
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

const char* reason_phrase(int status)
{
    for (const Reason& reason : reasons)
        if (reason.status == status)
            return reason.phrase;
    return "Error";
}

std::string error_reply(int status)
{
    const std::string line = std::to_string(status) + " " + reason_phrase(status);
    std::string reply = "Status: " + line + "\r\nContent-Type: text/plain; charset=utf-8\r\n";
    if (status == 503)
        reply += "Retry-After: 1\r\n";
    return reply + "\r\n" + line + "\n";
}

std::string request_line(const fcgi::Params& params)
{
    std::string_view uri = params.get("REQUEST_URI");
    if (uri.empty())
        uri = params.get("SCRIPT_NAME");
    std::string line(params.get("REQUEST_METHOD"));
    return line.append(" ").append(uri);
}

std::unique_ptr<Task> refuse(const config::Pool& pool,
                             fcgi::Connection& client,
                             int status,
                             const std::string& reason,
                             TimePoint now)
{
    if (!reason.empty())
        logging::warning("[%s] %s: %d: %s",
                         pool.name.c_str(),
                         request_line(client.params()).c_str(),
                         status,
                         reason.c_str());
    return std::make_unique<ErrorReply>(client, status, deadline_after(now, pool.send_timeout));
}

std::unique_ptr<Task> check_limits(const config::Pool& pool,
                                   fcgi::Connection& client,
                                   TimePoint now)
{
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
