#include "config/values.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <utility>

namespace config {
namespace {

struct Unit {
    std::string_view suffix;
    std::uint64_t factor;
};

constexpr std::array duration_units{
    Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", 3'600'000}};
constexpr std::array size_units{Unit{"k", 1 << 10}, Unit{"M", 1 << 20}, Unit{"G", 1 << 30}};

// Splits "30s" into its number and its unit's factor; nullopt when either is wrong.
std::optional<std::uint64_t> with_unit(std::string_view text,
                                       std::span<const Unit> units,
                                       std::uint64_t bare_factor)
{
    const std::size_t length = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view suffix = text::trim(text.substr(length));
    std::uint64_t factor = bare_factor;
    if (!suffix.empty()) {
        const auto unit = std::ranges::find(units, suffix, &Unit::suffix);
        if (unit == units.end())
            return std::nullopt;
        factor = unit->factor;
    }
    const auto number = text::to_number<std::uint64_t>(text.substr(0, length));
    std::uint64_t product = 0;
    if (!number || __builtin_mul_overflow(*number, factor, &product))
        return std::nullopt;
    return product;
}

bool outside(std::uint64_t value, Range range)
{
    return value < range.min || value > range.max;
}

std::string limits(const std::string& min, const std::string& max)
{
    return " is out of range: from " + min + " to " + max;
}

// Of two rows of the edit distance table, the next one.
std::vector<std::size_t> next_row(const std::vector<std::size_t>& row,
                                  char c,
                                  std::string_view other)
{
    std::vector<std::size_t> next(row.size());
    next[0] = row[0] + 1;
    for (std::size_t i = 0; i < other.size(); ++i) {
        const std::size_t replaced = row[i] + (other[i] == c ? 0 : 1);
        next[i + 1] = std::min({replaced, row[i + 1] + 1, next[i] + 1});
    }
    return next;
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (const char c : a)
        row = next_row(row, c, b);
    return row.back();
}

}  // namespace

Result<std::uint64_t, std::string> parse_number(std::string_view text, Range range)
{
    const auto value = text::to_number<std::uint64_t>(text);
    if (!value)
        return text::in_quotes(text) + " is not a whole number: digits only";
    if (outside(*value, range))
        return text::in_quotes(text) + limits(std::to_string(range.min), std::to_string(range.max));
    return *value;
}

Result<int, std::string> parse_nice(std::string_view text)
{
    static constexpr std::uint64_t most_favoured = 20;  // below zero
    static constexpr std::uint64_t least_favoured = 19;
    const bool negative = text.starts_with('-');
    const auto value = text::to_number<std::uint64_t>(text.substr(negative ? 1 : 0));
    if (!value || *value > (negative ? most_favoured : least_favoured))
        return text::in_quotes(text) + " is no nice value: from -20, which needs root, to 19";
    return negative ? -static_cast<int>(*value) : static_cast<int>(*value);
}

Result<std::uint64_t, std::string> parse_size(std::string_view text, Range range)
{
    // k and K, m and M, g and G are taken alike; what is printed is k, M, G.
    std::string word(text);
    if (!word.empty()) {
        static constexpr std::string_view from = "KmgB";
        static constexpr std::string_view to = "kMG?";
        if (const auto at = from.find(word.back()); at != std::string_view::npos)
            word.back() = to[at];
    }
    const auto value = with_unit(word, size_units, 1);
    if (!value)
        return text::in_quotes(text) +
               " is not a size: a number of bytes or with k, M, G, such as 64k";
    if (outside(*value, range))
        return text::in_quotes(text) + limits(format_size(range.min), format_size(range.max));
    return *value;
}

Result<Duration, std::string> parse_duration(std::string_view text, Range milliseconds)
{
    const auto value = with_unit(text, duration_units, 1000);
    if (!value)
        return text::in_quotes(text) +
               " is not a duration: a number of seconds or with ms, s, m, h, such as 30s";
    const auto as_duration = [](std::uint64_t count) {
        return Duration(static_cast<Duration::rep>(count));
    };
    if (outside(*value, milliseconds))
        return text::in_quotes(text) + limits(format_duration(as_duration(milliseconds.min)),
                                              format_duration(as_duration(milliseconds.max)));
    return as_duration(*value);
}

Result<mode_t, std::string> parse_mode(std::string_view text)
{
    const auto mode = text::to_number<mode_t>(text, 8);
    if (!mode || *mode > 0777)
        return text::in_quotes(text) + " is not a mode: octal digits from 0 to 0777, such as 0660";
    return *mode;
}

Result<bool, std::string> parse_flag(std::string_view text)
{
    static constexpr std::array<std::string_view, 4> yes{"yes", "on", "true", "1"};
    static constexpr std::array<std::string_view, 4> no{"no", "off", "false", "0"};
    if (std::ranges::find(yes, text) != yes.end())
        return true;
    if (std::ranges::find(no, text) != no.end())
        return false;
    return text::in_quotes(text) + " is neither yes nor no";
}

Result<std::uint64_t, std::string> parse_choice(std::string_view text, std::string_view choices)
{
    const auto words = parse_words(choices);
    const auto found = std::ranges::find(words, text);
    if (found != words.end())
        return static_cast<std::uint64_t>(found - words.begin());
    std::string list;
    for (std::size_t i = 0; i < words.size(); ++i)
        list += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
    return text::in_quotes(text) + " is not known: " + list;
}

std::vector<std::string> parse_words(std::string_view text)
{
    static constexpr std::string_view separators = ", \t";
    std::vector<std::string> words;
    std::size_t begin = text.find_first_not_of(separators);
    while (begin != std::string_view::npos) {
        const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
        words.emplace_back(text.substr(begin, end - begin));
        begin = text.find_first_not_of(separators, end);
    }
    return words;
}

std::string format_size(std::uint64_t bytes)
{
    std::string suffix;
    for (const Unit& unit : size_units) {
        if (bytes == 0 || bytes % 1024 != 0)
            break;
        bytes /= 1024;
        suffix = unit.suffix;
    }
    return std::to_string(bytes) + suffix;
}

std::string format_duration(Duration duration)
{
    const auto count = static_cast<std::uint64_t>(duration.count());
    if (count == 0)
        return "0";
    for (auto unit = duration_units.rbegin(); unit != duration_units.rend(); ++unit)
        if (count % unit->factor == 0)
            return std::to_string(count / unit->factor) + std::string(unit->suffix);
    return std::to_string(count) + "ms";
}

std::string format_mode(mode_t mode)
{
    std::string digits;
    for (int shift = 6; shift >= 0; shift -= 3)
        digits += static_cast<char>('0' + ((mode >> shift) & 7));
    return "0" + digits;
}

std::string format_words(std::span<const std::string> words)
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : " ") + word;
    return text;
}

bool has_control(std::string_view value)
{
    return std::ranges::any_of(value, [](char c) {
        return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
    });
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known)
{
    std::string_view best;
    // Up to a third of the letters may differ; more, and the guess would only confuse.
    std::size_t limit = word.size() / 3 + 1;
    for (const std::string_view candidate : known) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < limit) {
            best = candidate;
            limit = distance;
        }
    }
    return best;
}

}  // namespace config
