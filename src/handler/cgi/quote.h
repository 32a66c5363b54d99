// quote.h - shows bytes that came from outside in a message: printable, bounded, on one line.
// Units    `limit` counts bytes of the text that is shown; what is cut is marked by "...".
// Errors   none.
// Source   CVE-2024-9026 for what unescaped bytes do to a log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cgi {

// 'text' in single quotes, without control characters.
std::string in_quotes(std::string_view text, std::size_t limit = 120);

}  // namespace cgi
