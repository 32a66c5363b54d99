// fcgi_client.h - the client's half of FastCGI, as much as a load generator needs: one request's
// bytes, and a parser for the reply. It shares no code with the server it measures.
// Errors   Reply::feed() returns false for bytes that are no valid reply; nothing else can fail.
// Source   FastCGI specification 1.0, sections 3.3, 3.4, 5.5 and 8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

using Params = std::vector<std::pair<std::string, std::string>>;

// A responder request without a body, id 1, whose connection the server closes.
std::string encode_request(const Params& params);

class Reply {
public:
    // Takes the next bytes of the connection; complete() says when the reply has ended.
    bool feed(std::string_view bytes);
    bool complete() const { return complete_; }
    void clear();

    // Status of the reply's header (200 when it names none), 0: there is no header at all.
    int status() const;
    std::string_view body() const;
    std::uint32_t app_status() const { return app_status_; }
    bool overloaded() const { return protocol_status_ != 0; }

private:
    bool take_record(unsigned type, std::string_view content);

    std::string pending_;  // bytes of a record that is not whole yet
    std::string output_;   // FCGI_STDOUT so far: header and body
    std::uint32_t app_status_ = 0;
    unsigned protocol_status_ = 0;
    bool complete_ = false;
};

}  // namespace bench
