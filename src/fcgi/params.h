// params.h - the name-value pairs of a request's PARAMS stream.
// Units    lengths in bytes; values are raw bytes as sent, NUL included.
// Errors   false or nullopt when a pair claims more than the stream holds.
// Owner    the connection; views point into the bytes held here.
// Source   FastCGI 1.0 section 3.4; CVE-2025-23016 for what happens without the checks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fcgi {

class Params {
public:
    using Pair = std::pair<std::string_view, std::string_view>;

    Params() = default;
    Params(Params&&) = delete;  // the views point into bytes_
    Params& operator=(Params&&) = delete;

    // Takes the whole stream. False, and no pairs, when it is malformed.
    bool decode(std::string bytes);

    // The value of the last pair of that name (a web server that sends a name twice means the
    // last one, as php-fpm takes it); empty when there is none.
    std::string_view get(std::string_view name) const;
    bool has(std::string_view name) const;

    const std::vector<Pair>& pairs() const { return pairs_; }
    void clear();

private:
    std::string bytes_;
    std::vector<Pair> pairs_;
};

// Takes one pair off the front of `rest`; nullopt when it is malformed or cut.
std::optional<Params::Pair> take_pair(std::string_view& rest);

}  // namespace fcgi
