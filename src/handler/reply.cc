#include "handler/reply.h"

#include "base/text.h"
#include "log/log.h"

namespace handler {

namespace {

const char* reason_phrase(int status)
{
    switch (status) {
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Error";
    }
}

cgi::ResponseRules rules_of(const config::Pool& pool)
{
    return {pool.max_header_size, pool.lenient_headers, pool.local_redirect};
}

}  // namespace

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

Reply::Reply(const config::Pool& pool, fcgi::Connection& client, Outcome& outcome, std::string who)
    : pool_(pool), client_(client), outcome_(outcome), who_(std::move(who)),
      head_request_(client.params().get("REQUEST_METHOD") == "HEAD"), response_(rules_of(pool))
{
}

bool Reply::put(std::string_view bytes, void (fcgi::Connection::*send)(std::string_view))
{
    if (stage_ == Stage::ended)
        return true;
    if (stage_ == Stage::body)
        (client_.*send)(limit(bytes));
    else if (take_header(bytes, false, {}))
        (client_.*send)(std::string(response_.header()).append(limit(bytes)));
    if (stage_ == Stage::ended)
        return false;
    if (cut_) {
        client_.finish({}, 0);  // the client has all that it was promised
        stage_ = Stage::ended;
    }
    return true;
}

bool Reply::end(std::string_view last, const std::optional<ExitStatus>& exit)
{
    if (stage_ == Stage::ended)
        return true;
    const std::string how = exit ? describe(*exit) : "closed its stdout";
    std::string both;
    if (stage_ == Stage::header) {
        if (!take_header(last, true, how))
            return false;
        both = response_.header();
    }
    last = limit(last);
    if (left_ && *left_ > 0) {
        if (!both.empty())
            stage_ = Stage::header;  // which has not been sent
        fail(502, "the body is shorter than its Content-Length; the program " + how);
        return false;
    }
    if (!left_ && exit && exit->signalled) {
        fail(502, "the reply is cut short; the program " + how);
        return false;
    }
    client_.finish(both.append(last), exit ? exit->app_status() : 0);
    stage_ = Stage::ended;
    return true;
}

// True when the header is complete: `bytes` is then what has come of the body.
bool Reply::take_header(std::string_view& bytes, bool last, const std::string& how)
{
    using Verdict = cgi::Response::Verdict;
    Verdict verdict = bytes.empty() ? Verdict::more : response_.feed(bytes);
    if (verdict == Verdict::more && last)
        verdict = response_.end();
    if (verdict == Verdict::invalid)
        fail(502, response_.reason() + (last ? "; the program " + how : ""));
    if (verdict != Verdict::complete)
        return false;
    stage_ = Stage::body;
    bytes = response_.rest();
    outcome_.status = response_.status();
    outcome_.header = response_.header();
    if (!head_request_ && response_.has_body())
        left_ = response_.content_length();
    return true;
}

std::string_view Reply::limit(std::string_view body)
{
    if (!response_.has_body() && !left_)
        left_ = 0;
    if (left_ && body.size() > *left_) {
        // A line end too many is common, and harms nobody.
        const bool harmless = text::trim(body.substr(*left_)).empty();
        logging::write(harmless ? logging::Level::debug : logging::Level::warning,
                       "[" + pool_.name + "] " + who_ + ": the body is longer than its " +
                           (response_.has_body() ? "Content-Length" : "status allows") +
                           ", the rest is cut");
        cut_ = true;
        body = body.substr(0, *left_);
    }
    if (left_)
        *left_ -= body.size();
    outcome_.body_bytes += body.size();
    return body;
}

void Reply::fail(int status, const std::string& reason)
{
    outcome_.failed = outcome_.failed || stage_ != Stage::ended;
    const std::string effect = stage_ == Stage::header ? std::to_string(status)
                               : stage_ == Stage::body ? "transfer aborted"
                                                       : "ended after its reply";
    if (!reason.empty())
        logging::write(status >= 500 ? logging::Level::error : logging::Level::warning,
                       "[" + pool_.name + "] " + who_ + (who_.empty() ? "" : ", ") +
                           request_line(client_.params()) + ": " + effect + ": " + reason);
    if (stage_ == Stage::header) {
        const std::string reply = error_reply(status);
        const std::size_t header_size = reply.find("\r\n\r\n") + 4;
        outcome_.status = status;
        outcome_.header = reply.substr(0, header_size);
        outcome_.body_bytes = reply.size() - header_size;
        client_.finish(reply, outcome_.exit ? outcome_.exit->app_status() : 0);
    } else if (stage_ == Stage::body) {
        client_.abort();
    }
    stage_ = Stage::ended;
}

void Reply::abandon(int status)
{
    outcome_.failed = outcome_.failed || stage_ != Stage::ended;
    if (stage_ == Stage::header)
        outcome_.status = status;
    stage_ = Stage::ended;
}

}  // namespace handler
