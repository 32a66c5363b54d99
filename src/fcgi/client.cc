#include "fcgi/client.h"

#include "fcgi/record.h"

#include <algorithm>
#include <cstdint>

#include <fastcgi.h>

namespace fcgi {

namespace {

constexpr std::uint16_t request_id = 1;
constexpr std::size_t header_size = FCGI_HEADER_LEN;
constexpr std::size_t longest_short = 127;  // lengths above take four bytes

void append_length(std::string& out, std::size_t length)
{
    if (length <= longest_short) {
        out += static_cast<char>(length);
        return;
    }
    for (const int shift : {24, 16, 8, 0})
        out += static_cast<char>((length >> shift & 0xff) | (shift == 24 ? 0x80 : 0));
}

// Cut into records, with the empty one that ends the stream.
void append_stream(std::string& out, std::uint8_t type, std::string_view bytes)
{
    for (; !bytes.empty(); bytes.remove_prefix(std::min(max_content, bytes.size())))
        append_record(out, type, request_id, bytes.substr(0, max_content));
    append_record(out, type, request_id, {});
}

}  // namespace

std::string encode_request(std::span<const Params::Pair> params, std::string_view body)
{
    std::string pairs;
    for (const auto& [name, value] : params) {
        append_length(pairs, name.size());
        append_length(pairs, value.size());
        pairs.append(name).append(value);
    }
    FCGI_BeginRequestBody begin{};
    begin.roleB0 = FCGI_RESPONDER;
    std::string out;
    append_record(
        out, FCGI_BEGIN_REQUEST, request_id, {reinterpret_cast<const char*>(&begin), sizeof begin});
    append_stream(out, FCGI_PARAMS, pairs);
    append_stream(out, FCGI_STDIN, body);
    return out;
}

void ReplyReader::feed(std::string_view bytes)
{
    bytes_.erase(0, used_);
    used_ = 0;
    bytes_.append(bytes);
}

std::optional<ReplyReader::Piece> ReplyReader::next()
{
    for (;;) {
        const auto left = std::string_view(bytes_).substr(used_);
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(left[i]); };
        if (!left.empty() && byte(0) != FCGI_VERSION_1)
            return Piece{Piece::Kind::broken, {}};
        if (left.size() < header_size)
            return std::nullopt;
        const std::size_t size = std::size_t{byte(4)} << 8 | byte(5);
        if (left.size() < header_size + size + byte(6))
            return std::nullopt;
        used_ += header_size + size + byte(6);
        const std::string_view content = left.substr(header_size, size);
        switch (byte(1)) {
        case FCGI_STDOUT: return Piece{Piece::Kind::out, content};
        case FCGI_STDERR: return Piece{Piece::Kind::err, content};
        case FCGI_END_REQUEST: {
            const bool good = size == sizeof(FCGI_EndRequestBody) && content[4] == 0;
            return Piece{good ? Piece::Kind::ended : Piece::Kind::broken, {}};
        }
        default: break;  // none of this request's business
        }
    }
}

}  // namespace fcgi
