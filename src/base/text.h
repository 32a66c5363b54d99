// text.h - makes bytes that others chose safe to show: in a log line, on a terminal.
// Units    bytes; text is UTF-8.
// Errors   none: what is shown has neither line breaks nor control characters, whatever it was.
//          to_number() is empty for what is no number.
// Source   CVE-2003-0020 and CVE-2024-9026 for what happens without; Apache's log escaping.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace text {

// Appends `bytes` for a line of the error log: control characters except tab (C1 controls too),
// DEL and bytes that are not valid UTF-8 become \xHH. A backslash stays as it is.
void append_escaped(std::string& out, std::string_view bytes);

// The same for a value of the access log, where it stands between quotes: tab becomes \x09, quote
// and backslash get a backslash, so that the original can be told from the escapes.
void append_quoted(std::string& out, std::string_view bytes);

std::string escape_control(std::string_view bytes);

// For a message: escaped, in double quotes, and cut where it gets long, which "... behind shows.
std::string in_quotes(std::string_view bytes);

// "1 worker", "2 workers".
std::string counted(int number, std::string_view what);

// Length of the valid UTF-8 character that `bytes` begins with; 0 when there is none.
std::size_t utf8_length(std::string_view bytes);

// ASCII only, whatever the locale: names of headers and of settings.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// Without blanks and tabs at both ends.
std::string_view trim(std::string_view text);

// Digits and nothing else: no sign, no blank. nullopt also when the number is too large.
template <std::unsigned_integral Number>
std::optional<Number> to_number(std::string_view digits, int base = 10)
{
    Number number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number, base);
    if (error != std::errc() || stop != end)
        return std::nullopt;
    return number;
}

}  // namespace text
