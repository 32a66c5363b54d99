#include "tests/system/support/record.h"

#include <algorithm>

namespace {

char byte(std::size_t value)
{
    return static_cast<char>(value & 0xff);
}

std::size_t number(std::string_view bytes, std::size_t at, std::size_t size)
{
    std::size_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
        value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
}

std::string length_of(std::size_t length)
{
    if (length < 128)
        return {byte(length)};
    return {byte(length >> 24 | 0x80), byte(length >> 16), byte(length >> 8), byte(length)};
}

std::size_t take_length(std::string_view& content)
{
    const std::size_t size = !content.empty() && (content[0] & 0x80) != 0 ? 4 : 1;
    if (content.size() < size)
        throw ProtocolDefect("name-value pair is cut off");
    const std::size_t length = number(content, 0, size) & 0x7fffffff;
    content.remove_prefix(size);
    return length;
}

std::string take(std::string_view& content, std::size_t length)
{
    if (content.size() < length)
        throw ProtocolDefect("name-value pair is longer than its record");
    std::string taken(content.substr(0, length));
    content.remove_prefix(length);
    return taken;
}

}  // namespace

std::string record_header(std::uint8_t type,
                          std::uint16_t id,
                          std::size_t length,
                          std::uint8_t padding)
{
    return {1,
            byte(type),
            byte(std::size_t{id} >> 8),
            byte(id),
            byte(length >> 8),
            byte(length),
            byte(padding),
            0};
}

std::string bytes_of(const Record& record)
{
    std::string bytes =
        record_header(record.type, record.id, record.content.size(), record.padding);
    bytes[0] = byte(record.version);
    return bytes + record.content + std::string(record.padding, '\xa5');
}

std::string stream_of(std::uint8_t type,
                      std::uint16_t id,
                      std::string_view content,
                      std::size_t piece,
                      std::uint8_t padding)
{
    std::string bytes;
    for (std::size_t at = 0; at < content.size(); at += piece)
        bytes += bytes_of({1, type, id, std::string(content.substr(at, piece)), padding});
    return bytes;
}

std::string begin_request(std::uint16_t id, bool keep, std::uint16_t role)
{
    const std::string body{
        byte(std::size_t{role} >> 8), byte(role), byte(keep ? 1 : 0), 0, 0, 0, 0, 0};
    return bytes_of({1, fastcgi::begin_request, id, body, 0});
}

std::string pair_of(std::string_view name, std::string_view value)
{
    std::string bytes = length_of(name.size()) + length_of(value.size());
    bytes.append(name).append(value);
    return bytes;
}

std::string pairs_of(const Pairs& pairs)
{
    std::string bytes;
    for (const auto& [name, value] : pairs)
        bytes += pair_of(name, value);
    return bytes;
}

Pairs parse_pairs(std::string_view content)
{
    Pairs pairs;
    while (!content.empty()) {
        const std::size_t name = take_length(content);
        const std::size_t value = take_length(content);
        std::string key = take(content, name);
        pairs.emplace_back(std::move(key), take(content, value));
    }
    return pairs;
}

std::optional<Record> parse_record(std::string& bytes)
{
    if (bytes.size() < fastcgi::header_size)
        return std::nullopt;
    const std::size_t length = number(bytes, 4, 2);
    const std::size_t padding = number(bytes, 6, 1);
    Record record{static_cast<std::uint8_t>(bytes[0]),
                  static_cast<std::uint8_t>(bytes[1]),
                  static_cast<std::uint16_t>(number(bytes, 2, 2)),
                  {},
                  static_cast<std::uint8_t>(padding)};
    const std::size_t whole = fastcgi::header_size + length + padding;
    if (bytes.size() < whole)
        return std::nullopt;
    record.content = bytes.substr(fastcgi::header_size, length);
    const auto tail = bytes.begin() + static_cast<std::ptrdiff_t>(fastcgi::header_size + length);
    if (bytes[7] != 0 || std::any_of(tail, tail + record.padding, [](char c) { return c != 0; }))
        throw ProtocolDefect("reserved and padding bytes are not zero");
    if (length + padding > fastcgi::largest_content)
        throw ProtocolDefect("content and padding do not fit into 16 bits");
    bytes.erase(0, whole);
    return record;
}
