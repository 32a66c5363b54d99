#include "base/text.h"

#include <algorithm>
#include <cstdint>

namespace text {

namespace {

std::uint8_t byte_at(std::string_view bytes, std::size_t i)
{
    return static_cast<std::uint8_t>(bytes[i]);
}

bool is_continuation(std::uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

// What may follow a lead byte: no overlong form, no surrogate, nothing beyond U+10FFFF.
bool fits_lead(std::uint8_t lead, std::uint8_t second)
{
    switch (lead) {
    case 0xE0: return second >= 0xA0;
    case 0xED: return second <= 0x9F;
    case 0xF0: return second >= 0x90;
    case 0xF4: return second <= 0x8F;
    default: return true;
    }
}

std::size_t length_by_lead(std::uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF)
        return 3;
    if (lead >= 0xF0 && lead <= 0xF4)
        return 4;
    return 0;
}

// C0, DEL and, as two bytes of UTF-8, C1: terminals obey all three.
bool is_control(std::string_view character)
{
    const auto first = byte_at(character, 0);
    if (character.size() == 1)
        return first < 0x20 || first == 0x7F;
    return first == 0xC2 && byte_at(character, 1) < 0xA0;
}

void append_hex(std::string& out, std::string_view bytes)
{
    static constexpr char digits[] = "0123456789ABCDEF";
    for (const char c : bytes) {
        const auto byte = static_cast<std::uint8_t>(c);
        const char escape[] = {'\\', 'x', digits[byte >> 4], digits[byte & 0x0F]};
        out.append(escape, sizeof escape);
    }
}

// Length of the run of plain ASCII at the front: nearly everything is.
std::size_t plain_length(std::string_view bytes)
{
    const auto plain = [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
    const auto end = std::find_if_not(bytes.begin(), bytes.end(), plain);
    return static_cast<std::size_t>(end - bytes.begin());
}

template <class Special>
void append_safe(std::string& out, std::string_view bytes, Special special)
{
    while (!bytes.empty()) {
        std::size_t length = plain_length(bytes);
        if (length > 0) {
            out.append(bytes.substr(0, length));
        } else if ((length = utf8_length(bytes)) == 0) {
            length = 1;
            append_hex(out, bytes.substr(0, 1));
        } else {
            special(bytes.substr(0, length));
        }
        bytes.remove_prefix(length);
    }
}

char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::size_t utf8_length(std::string_view bytes)
{
    if (bytes.empty())
        return 0;
    const auto lead = byte_at(bytes, 0);
    const auto length = length_by_lead(lead);
    if (length == 0 || length > bytes.size())
        return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if (!is_continuation(byte_at(bytes, i)))
            return 0;
    }
    return length > 1 && !fits_lead(lead, byte_at(bytes, 1)) ? 0 : length;
}

void append_escaped(std::string& out, std::string_view bytes)
{
    append_safe(out, bytes, [&](std::string_view character) {
        if (character != "\t" && is_control(character))
            append_hex(out, character);
        else
            out.append(character);
    });
}

void append_quoted(std::string& out, std::string_view bytes)
{
    append_safe(out, bytes, [&](std::string_view character) {
        if (is_control(character)) {
            append_hex(out, character);
            return;
        }
        if (character == "\"" || character == "\\")
            out.push_back('\\');
        out.append(character);
    });
}

std::string escape_control(std::string_view bytes)
{
    std::string out;
    out.reserve(bytes.size());
    append_escaped(out, bytes);
    return out;
}

std::string in_quotes(std::string_view bytes)
{
    static constexpr std::size_t shown = 120;
    return '"' + escape_control(bytes.substr(0, shown)) + (bytes.size() > shown ? "\"..." : "\"");
}

std::string counted(int number, std::string_view what)
{
    return std::to_string(number) + ' ' + std::string(what) + (number == 1 ? "" : "s");
}

bool equal_ignoring_case(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return to_lower(x) == to_lower(y);
    });
}

std::string_view trim(std::string_view text)
{
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace text
