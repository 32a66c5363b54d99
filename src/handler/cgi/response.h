// response.h - reads the header of a CGI program's reply and says what the client shall get.
// A push parser: bytes in as they arrive, no I/O.
// Units    sizes in bytes.
// Errors   Verdict::invalid with reason() in words for the log; the client gets 502.
// Owner    the Relay, one for each request.
// Source   RFC 3875 section 6; RFC 9110 section 5 for names and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cgi {

struct ResponseRules {
    std::size_t max_header_size = 64 << 10;
    bool lenient = false;         // no header at all: the output is the body of a 200
    bool local_redirect = false;  // Location: /path becomes X-Accel-Redirect
};

class Response {
public:
    enum class Verdict { more, complete, invalid };

    explicit Response(const ResponseRules& rules);

    // Takes the next bytes of the program's stdout. Once the verdict is complete, rest() holds the
    // part of these bytes that belongs to the body (a view into `bytes`, or into this object in
    // lenient mode). Not to be called again after complete or invalid.
    Verdict feed(std::string_view bytes);

    // stdout has ended before the header was complete: says in reason() what is missing
    // (lenient mode may turn it into complete).
    Verdict end();

    // After complete:
    const std::string& header() const;                    // normalised, CRLF, with its blank line
    int status() const;                                   // 100 is never returned; 200 by default
    std::optional<std::uint64_t> content_length() const;  // as the program declared it
    bool has_body() const;                                // false for 204 and 304
    std::string_view rest() const;

    // After invalid:
    const std::string& reason() const;
};

}  // namespace cgi
