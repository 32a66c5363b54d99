// client_test.cc - the web server's side: what it sends and how it reads a reply.
// Source   FastCGI 1.0 section 3.3; wire.h is written apart from src/fcgi.
#include "fcgi/client.h"
#include "fcgi/record.h"
#include "tests/catch.h"
#include "tests/unit/wire.h"

#include <algorithm>
#include <string>
#include <vector>

using Pairs = std::vector<fcgi::Params::Pair>;
using Kind = fcgi::ReplyReader::Piece::Kind;

namespace {

std::string end_request(char protocol_status, char app_status = 0)
{
    const char body[8] = {0, 0, 0, app_status, protocol_status, 0, 0, 0};
    return wire::record(wire::end_request, 1, {body, sizeof body});
}

struct Read {
    std::string out;
    std::string err;
    std::string end;  // "ended", "broken" or empty
};

// Fed in pieces of `size` bytes.
Read read(std::string_view bytes, std::size_t size)
{
    fcgi::ReplyReader reader;
    Read result;
    for (; !bytes.empty() && result.end.empty();
         bytes.remove_prefix(std::min(size, bytes.size()))) {
        reader.feed(bytes.substr(0, size));
        while (const auto piece = reader.next()) {
            if (piece->kind == Kind::out)
                result.out += piece->bytes;
            else if (piece->kind == Kind::err)
                result.err += piece->bytes;
            else
                result.end = piece->kind == Kind::ended ? "ended" : "broken";
            if (!result.end.empty())
                break;
        }
    }
    return result;
}

}  // namespace

TEST_CASE("client: a request is what its parameters and its body say", "[fcgi]")
{
    const std::string long_value(70'000, 'v');
    const std::string body(200'000, 'b');
    const Pairs params{{"A", ""}, {std::string_view("B\0C", 3), "x"}, {"LONG", long_value}};
    const wire::Reply sent = wire::decode(fcgi::encode_request(params, body));
    CHECK(sent.broken == "");
    REQUIRE_FALSE(sent.records.empty());
    CHECK(sent.records[0].type == wire::begin_request);
    CHECK(sent.records[0].content == std::string("\0\1\0\0\0\0\0\0", 8));
    CHECK(sent.stream(wire::params) == wire::pair("A", "") +
                                           wire::pair(std::string_view("B\0C", 3), "x") +
                                           wire::pair("LONG", long_value));
    CHECK(sent.stream(wire::stdin_stream) == body);
    CHECK(sent.records.back().type == wire::stdin_stream);
    CHECK(sent.records.back().content.empty());
    for (const wire::Record& record : sent.records)
        CHECK(record.id == 1);
}

TEST_CASE("client: lengths of 127 and 128 bytes are told apart", "[fcgi]")
{
    for (const std::size_t size : {0, 1, 127, 128, 255, 256, 65'535}) {
        const std::string value(size, 'v');
        const wire::Reply sent = wire::decode(fcgi::encode_request(Pairs{{"N", value}}, ""));
        CHECK(sent.stream(wire::params) == wire::pair("N", value));
    }
}

TEST_CASE("client: the parser of the server takes the request", "[fcgi]")
{
    const std::string bytes = fcgi::encode_request(Pairs{{"A", "b"}}, "body");
    fcgi::Parser parser(1 << 16, 1);
    std::string_view input = bytes;
    CHECK(parser.next(input).kind == fcgi::Event::Kind::head);
    CHECK(parser.params().get("A") == "b");
    CHECK_FALSE(parser.keep_connection());
    CHECK(parser.next(input).bytes == "body");
    CHECK(parser.next(input).kind == fcgi::Event::Kind::body_end);
}

TEST_CASE("client: a reply is read in pieces of any size", "[fcgi]")
{
    const std::string bytes = wire::record(wire::stdout_stream, 1, "A: b\r\n\r\nbo", 5) +
                              wire::record(wire::stderr_stream, 1, "oops\n") +
                              wire::record(wire::unknown_type, 0, "12345678") +
                              wire::record(wire::stdout_stream, 1, "dy", 255) +
                              wire::record(wire::stdout_stream, 1) + end_request(0, 3);
    for (std::size_t size = 1; size <= bytes.size(); ++size) {
        const Read reply = read(bytes, size);
        CHECK(reply.out == "A: b\r\n\r\nbody");
        CHECK(reply.err == "oops\n");
        CHECK(reply.end == "ended");
    }
    CHECK(read(bytes.substr(0, bytes.size() - 1), 7).end == "");
}

TEST_CASE("client: a broken record or a refused request is no reply", "[fcgi]")
{
    const std::string begin = wire::record(wire::stdout_stream, 1, "half");
    CHECK(read(begin + wire::record(wire::stdout_stream, 1, "x", 0, 0), 3).end == "broken");
    CHECK(read(begin + '\0', 3).end == "broken");
    CHECK(read(begin + '\0', 3).out == "half");
    for (const char* status : {"\1", "\2", "\3"})
        CHECK(read(end_request(*status), 5).end == "broken");
    CHECK(read(wire::record(wire::end_request, 1, "short"), 5).end == "broken");
}
