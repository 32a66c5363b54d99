// reply.h - the reply to one request, as its program writes it: the header is checked, the body is
// held to its declared length, and the end is such that the web server can tell a complete reply
// from one that was cut.
// Units    sizes in bytes.
// Errors   none thrown: a reply that goes wrong becomes 502 as long as its header is not out, an
//          aborted transfer after that, and a line in the error log.
// Owner    the Task of the request; pool, connection and outcome outlive it.
// Source   RFC 3875 section 6; what nginx takes for a complete reply was measured.
#pragma once

#include "base/process.h"
#include "config/settings.h"
#include "fcgi/connection.h"
#include "handler/cgi/response.h"
#include "handler/handler.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace handler {

class Reply {
public:
    // `who` is writing, for the log: the path of a program, with its process.
    Reply(const config::Pool& pool, fcgi::Connection& client, Outcome& outcome, std::string who);

    bool ended() const { return stage_ == Stage::ended; }

    // A piece of the program's output; dropped when the reply has ended. False when the reply has
    // failed because of it.
    bool write(std::string_view bytes) { return put(bytes, &fcgi::Connection::write_stdout); }
    // The same for what end() follows at once: they are sent together.
    bool write_last(std::string_view bytes) { return put(bytes, &fcgi::Connection::queue_stdout); }
    // Its last piece, and how the program ended, if that is known. False when the reply has
    // failed because of it.
    bool end(std::string_view last, const std::optional<ExitStatus>& exit);

    // Replies with an error, or makes the transfer fail; logged unless the reason is empty.
    void fail(int status, const std::string& reason);
    // There is nobody to reply to any more.
    void abandon(int status);

private:
    enum class Stage { header, body, ended };

    bool put(std::string_view bytes, void (fcgi::Connection::*send)(std::string_view));
    bool take_header(std::string_view& bytes, bool last, const std::string& how);
    std::string_view limit(std::string_view body);

    const config::Pool& pool_;
    fcgi::Connection& client_;
    Outcome& outcome_;
    const std::string who_;
    const bool head_request_;

    cgi::Response response_;
    Stage stage_ = Stage::header;
    std::optional<std::uint64_t> left_;  // of the body, when its length was declared
    bool cut_ = false;
};

// A complete CGI reply for an error, with a short plain text that tells nothing about the server.
std::string error_reply(int status);

// The request in one line for the error log: "GET /cgi-bin/x?y".
std::string request_line(const fcgi::Params& params);

}  // namespace handler
