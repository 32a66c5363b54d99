// client.h - the web server's side of one FastCGI request: the bytes to send, and the pieces that
// come back. Pure: no I/O.
// Errors   Piece::Kind::broken: the reply cannot be trusted from there on.
// Owner    server/run_once, which plays the web server.
// Source   FastCGI 1.0 sections 3.3 to 5.5.
#pragma once

#include "fcgi/params.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fcgi {

// A whole request for a responder, on a connection that is closed after it.
std::string encode_request(std::span<const Params::Pair> params, std::string_view body);

class ReplyReader {
public:
    struct Piece {
        enum class Kind { out, err, ended, broken };
        Kind kind;
        std::string_view bytes;  // of out and err; valid until the next feed()
    };

    void feed(std::string_view bytes);
    // nullopt: more bytes are needed. Not to be called again after ended and broken.
    std::optional<Piece> next();

private:
    std::string bytes_;
    std::size_t used_ = 0;
};

}  // namespace fcgi
