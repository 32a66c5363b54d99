#include "bench/fcgi_client.h"

#include <algorithm>
#include <charconv>

#include <strings.h>

namespace bench {

namespace {

constexpr std::size_t header_size = 8;
constexpr unsigned version = 1;
constexpr unsigned request_id = 1;
enum class Type : unsigned { begin = 1, end = 3, params = 4, in = 5, out = 6, err = 7 };

void append_byte(std::string& bytes, std::size_t value)
{
    bytes.push_back(static_cast<char>(value & 0xff));
}

void append_record(std::string& bytes, Type type, std::string_view content)
{
    append_byte(bytes, version);
    append_byte(bytes, static_cast<unsigned>(type));
    append_byte(bytes, request_id >> 8);
    append_byte(bytes, request_id);
    append_byte(bytes, content.size() >> 8);
    append_byte(bytes, content.size());
    append_byte(bytes, 0);  // no padding
    append_byte(bytes, 0);
    bytes += content;
}

void append_length(std::string& bytes, std::size_t length)
{
    if (length > 127) {
        append_byte(bytes, length >> 24 | 0x80);
        append_byte(bytes, length >> 16);
        append_byte(bytes, length >> 8);
    }
    append_byte(bytes, length);
}

unsigned byte_at(std::string_view bytes, std::size_t index)
{
    return static_cast<unsigned char>(bytes[index]);
}

// Where the empty line that ends the header begins, and how long it is.
std::pair<std::size_t, std::size_t> end_of_header(std::string_view output)
{
    const std::size_t crlf = output.find("\r\n\r\n");
    const std::size_t lf = output.find("\n\n");
    return crlf < lf ? std::pair{crlf, std::size_t{4}} : std::pair{lf, std::size_t{2}};
}

}  // namespace

std::string encode_request(const Params& params)
{
    std::string pairs;
    for (const auto& [name, value] : params) {
        append_length(pairs, name.size());
        append_length(pairs, value.size());
        pairs += name;
        pairs += value;
    }
    std::string bytes;
    append_record(bytes, Type::begin, std::string_view("\0\1\0\0\0\0\0\0", 8));  // responder
    constexpr std::size_t largest = 0xffff;
    for (std::size_t at = 0; at < pairs.size(); at += largest)
        append_record(bytes, Type::params, std::string_view(pairs).substr(at, largest));
    append_record(bytes, Type::params, {});
    append_record(bytes, Type::in, {});
    return bytes;
}

bool Reply::feed(std::string_view bytes)
{
    pending_ += bytes;
    std::string_view rest = pending_;
    while (rest.size() >= header_size && !complete_) {
        const std::size_t content = byte_at(rest, 4) << 8 | byte_at(rest, 5);
        const std::size_t whole = header_size + content + byte_at(rest, 6);
        if (byte_at(rest, 0) != version || byte_at(rest, 2) != 0 || byte_at(rest, 3) != request_id)
            return false;
        if (rest.size() < whole)
            break;
        if (!take_record(byte_at(rest, 1), rest.substr(header_size, content)))
            return false;
        rest.remove_prefix(whole);
    }
    pending_.erase(0, pending_.size() - rest.size());
    return true;
}

bool Reply::take_record(unsigned type, std::string_view content)
{
    switch (static_cast<Type>(type)) {
    case Type::out: output_ += content; return true;
    case Type::err: return true;
    case Type::end: break;
    default: return false;
    }
    if (content.size() != 8)
        return false;
    for (std::size_t i = 0; i < 4; ++i)
        app_status_ = app_status_ << 8 | byte_at(content, i);
    protocol_status_ = byte_at(content, 4);
    complete_ = true;
    return true;
}

void Reply::clear()
{
    pending_.clear();
    output_.clear();
    app_status_ = 0;
    protocol_status_ = 0;
    complete_ = false;
}

int Reply::status() const
{
    std::string_view header = output_;
    const auto [end, gap] = end_of_header(header);
    if (end == std::string_view::npos)
        return 0;
    header = header.substr(0, end + gap / 2);
    constexpr std::string_view name = "Status:";
    while (!header.empty()) {
        const std::size_t line = std::min(header.find('\n'), header.size() - 1) + 1;
        if (line > name.size() && ::strncasecmp(header.data(), name.data(), name.size()) == 0) {
            std::string_view value = header.substr(name.size(), line - name.size());
            value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
            int status = 0;
            std::from_chars(value.data(), value.data() + value.size(), status);
            return status;
        }
        header.remove_prefix(line);
    }
    return 200;
}

std::string_view Reply::body() const
{
    const auto [end, gap] = end_of_header(output_);
    return end == std::string::npos ? std::string_view()
                                    : std::string_view(output_).substr(end + gap);
}

}  // namespace bench
