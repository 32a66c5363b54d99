// response.h - reads the header of a CGI program's reply and says what the client shall get. A push
// parser: bytes in as they arrive, no I/O. Each byte of the header is looked at once and copied
// once, or twice when its line comes in pieces.
// Units    sizes in bytes; the limit counts the header as the program wrote it.
// Errors   Verdict::invalid with reason() in words for the log; the client gets 502.
// Owner    the Relay, one for each request.
// Source   RFC 3875 section 6; RFC 9110 section 5 for names and values, 7.6.1 for hop-by-hop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cgi {

struct ResponseRules {
    std::size_t max_header_size = 64 << 10;
    // Output that does not begin with a header is the body of a 200. Output in which one of CGI's
    // own fields was seen before the fault has a header, a broken one, and stays invalid.
    bool lenient = false;
    bool local_redirect = false;  // Location: /path becomes X-Accel-Redirect
};

class Response {
public:
    enum class Verdict { more, complete, invalid };

    explicit Response(const ResponseRules& rules) : rules_(rules) {}
    Response(Response&&) = delete;  // rest() may be a view into this object
    Response& operator=(Response&&) = delete;

    // Takes the next bytes of the program's stdout. Once the verdict is complete, rest() holds the
    // part of these bytes that belongs to the body (a view into `bytes`, or into this object in
    // lenient mode). Not to be called again after complete or invalid.
    Verdict feed(std::string_view bytes);

    // stdout has ended before the header was complete: says in reason() what is missing
    // (lenient mode may turn it into complete).
    Verdict end();

    // After complete:
    const std::string& header() const { return header_; }  // normalised, CRLF, with its blank line
    int status() const { return status_; }                 // 200..599: what the client will see
    std::optional<std::uint64_t> content_length() const { return length_; }  // as declared
    bool has_body() const { return status_ != 204 && status_ != 304; }
    std::string_view rest() const { return rest_; }

    // After invalid:
    const std::string& reason() const { return reason_; }

private:
    enum class Step { next, done, bad };

    Step take_piece(std::string_view& left);
    Step take_line(std::string_view line);
    Step take_field(std::string_view name, std::string_view value);
    Step take_http_line(std::string_view line);
    Step take_status(std::string_view value);
    Step take_length(std::string_view value);
    Step take_location(std::string_view value);
    Step bad(std::string_view what, std::string_view shown);
    void append(std::string_view name, std::string_view value);
    Verdict finish(std::string_view body);
    Verdict refuse(std::string_view bytes);

    ResponseRules rules_;
    std::size_t size_ = 0;    // bytes of the header so far
    std::size_t lines_ = 0;   // for messages
    std::string partial_;     // the beginning of a line whose end has not come yet
    std::string held_;        // lenient mode: all that was fed before, should it be a body
    bool cgi_field_ = false;  // a field that only a header has was seen
    bool has_status_ = false;
    int status_ = 200;
    std::optional<std::uint64_t> length_;
    std::optional<std::string> location_;
    std::string header_;
    std::string_view rest_;
    std::string reason_;
};

}  // namespace cgi
