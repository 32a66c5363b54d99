// values.h - how the values of settings are written: numbers, durations, sizes, modes, words. Pure:
// text in, value out, and back. format_x(parse_x(text)) parses to the same value again.
// Units    durations take ms, s, m, h (a bare number is seconds); sizes k, M, G (times 1024).
// Errors   a Result's error says what is wrong with the text and what would be right.
#pragma once

#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace config {

struct Range {
    std::uint64_t min = 0;
    std::uint64_t max = UINT64_MAX;
};

Result<std::uint64_t, std::string> parse_number(std::string_view text, Range range);
Result<int, std::string> parse_nice(std::string_view text);
Result<std::uint64_t, std::string> parse_size(std::string_view text, Range range);
Result<Duration, std::string> parse_duration(std::string_view text, Range milliseconds);
Result<mode_t, std::string> parse_mode(std::string_view text);
Result<bool, std::string> parse_flag(std::string_view text);

// The index of `text` among the words of `choices` ("cgi module").
Result<std::uint64_t, std::string> parse_choice(std::string_view text, std::string_view choices);

// Words apart by commas, blanks or both.
std::vector<std::string> parse_words(std::string_view text);

std::string format_size(std::uint64_t bytes);
std::string format_duration(Duration duration);
std::string format_mode(mode_t mode);
std::string format_words(std::span<const std::string> words);

// Control characters other than tab: no value has any.
bool has_control(std::string_view value);

// The word of `known` that is most like `word`; empty when none is alike enough to be meant.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace config
