// record_test.cc - the parser of what web servers send, and every trap that readers of FastCGI
// have fallen into.
#include "fcgi/record.h"
#include "tests/catch.h"
#include "tests/unit/wire.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Kind = fcgi::Event::Kind;

// What the parser made of some bytes: an entry per event, bodies joined.
struct Heard {
    std::vector<Kind> kinds;
    std::string body;
    std::string replies;
    std::string error;

    int count(Kind kind) const
    {
        return static_cast<int>(std::count(kinds.begin(), kinds.end(), kind));
    }
};

constexpr std::size_t limit = 256 << 10;

class Ear {
public:
    explicit Ear(std::size_t max_params = limit) : parser(max_params, 1) {}

    // Hands the bytes over in pieces of `chunk`. Each piece lies in memory of its own size, so
    // that a sanitizer sees a read beyond it.
    void hear(std::string_view bytes, std::size_t chunk = 1 << 20)
    {
        while (!bytes.empty()) {
            const std::string copy(bytes.substr(0, chunk));
            const std::vector<char> piece(copy.begin(), copy.end());
            bytes.remove_prefix(piece.size());
            std::string_view rest(piece.data(), piece.size());
            while (note(parser.next(rest)))
                ;
        }
    }

    fcgi::Parser parser;
    Heard heard;

private:
    bool note(const fcgi::Event& event)
    {
        if (event.kind == Kind::more)
            return false;
        heard.kinds.push_back(event.kind);
        switch (event.kind) {
        case Kind::body: heard.body += event.bytes; break;
        case Kind::reply:
        case Kind::refused: heard.replies += event.bytes; break;
        case Kind::error: heard.error = event.bytes; return false;
        default: break;
        }
        return true;
    }
};

const std::string some_pairs = wire::pair("REQUEST_METHOD", "GET") + wire::pair("X", "y");

std::string long_text(std::size_t size)
{
    std::string text;
    for (std::size_t i = 0; text.size() < size; ++i)
        text += std::to_string(i) + ' ';
    text.resize(size);
    return text;
}

}  // namespace

// --- whole requests -----------------------------------------------------------------------------

TEST_CASE("record: a request arrives whole whatever the size of the pieces", "[record]")
{
    const std::string body = long_text(3'000);
    const std::string pairs =
        some_pairs + wire::pair("LONG", long_text(5'000)) + wire::pair(long_text(200), "v");
    const std::string bytes = wire::begin(7, true) + wire::stream(wire::params, 7, pairs, 333, 5) +
                              wire::stream(wire::stdin_stream, 7, body, 1'000, 255);
    for (const std::size_t chunk : {1u, 2u, 3u, 7u, 8u, 9u, 64u, 4'096u, 1u << 20}) {
        CAPTURE(chunk);
        Ear ear;
        ear.hear(bytes, chunk);
        CHECK(ear.heard.error.empty());
        CHECK(ear.heard.count(Kind::head) == 1);
        CHECK(ear.heard.count(Kind::body_end) == 1);
        CHECK(ear.heard.body == body);
        CHECK(ear.parser.request_id() == 7);
        CHECK(ear.parser.keep_connection());
        CHECK(ear.parser.params().pairs().size() == 4);
        CHECK(ear.parser.params().get("LONG") == long_text(5'000));
        CHECK(ear.parser.params().get(long_text(200)) == "v");
        CHECK(ear.heard.replies.empty());
    }
}

TEST_CASE("record: a request cut at any one place arrives whole", "[record]")
{
    const std::string bytes =
        wire::request(1, some_pairs + wire::pair("N", long_text(200)), "body");
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
        CAPTURE(cut);
        Ear ear;
        ear.hear(std::string_view(bytes).substr(0, cut));
        CHECK(ear.heard.count(Kind::error) == 0);
        ear.hear(std::string_view(bytes).substr(cut));
        CHECK(ear.heard.count(Kind::head) == 1);
        CHECK(ear.heard.body == "body");
        CHECK(ear.heard.count(Kind::body_end) == 1);
        CHECK(ear.parser.params().get("N") == long_text(200));
    }
}

TEST_CASE("record: parameters cut into records of any size arrive whole", "[record]")
{
    const std::string pairs =
        wire::pair("A", long_text(300)) + wire::pair(long_text(130), long_text(129));
    for (std::size_t size = 1; size <= pairs.size(); ++size) {
        CAPTURE(size);
        Ear ear;
        ear.hear(wire::begin(1) + wire::stream(wire::params, 1, pairs, size));
        CHECK(ear.heard.kinds == std::vector{Kind::head});
        CHECK(ear.parser.params().get("A") == long_text(300));
        CHECK(ear.parser.params().get(long_text(130)) == long_text(129));
    }
}

TEST_CASE("record: a value of 70000 bytes arrives whole", "[record]")
{
    Ear ear;
    ear.hear(wire::head(1, wire::pair("BIG", long_text(70'000))), 4'096);
    CHECK(ear.heard.kinds == std::vector{Kind::head});
    CHECK(ear.parser.params().get("BIG") == long_text(70'000));
}

TEST_CASE("record: every request id from 1 to 65535 is taken", "[record]")
{
    for (const unsigned id : {1u, 255u, 256u, 300u, 65'535u}) {
        Ear ear;
        ear.hear(wire::request(id, some_pairs, "x"));
        CHECK(ear.heard.count(Kind::body_end) == 1);
        CHECK(ear.parser.request_id() == id);
    }
}

TEST_CASE("record: content and padding that together exceed 16 bits are taken", "[record]")
{
    const std::string pairs = wire::pair("B", long_text(65'528));
    REQUIRE(pairs.size() <= 65'535);
    const std::string body = long_text(65'535);
    Ear ear;
    ear.hear(wire::begin(1) + wire::record(wire::params, 1, pairs, 255) +
                 wire::record(wire::params, 1) + wire::record(wire::stdin_stream, 1, body, 255) +
                 wire::record(wire::stdin_stream, 1),
             1'000);
    CHECK(ear.heard.error.empty());
    CHECK(ear.parser.params().get("B").size() == 65'528);
    CHECK(ear.heard.body == body);
    CHECK(ear.heard.count(Kind::body_end) == 1);
}

TEST_CASE("record: an empty record with padding ends the stream and loses nothing", "[record]")
{
    for (const std::size_t padding : {1u, 8u, 255u}) {
        CAPTURE(padding);
        Ear ear;
        ear.hear(wire::begin(1) + wire::record(wire::params, 1, some_pairs) +
                 wire::record(wire::params, 1, {}, padding) +
                 wire::record(wire::stdin_stream, 1, "kept") +
                 wire::record(wire::stdin_stream, 1, {}, padding));
        CHECK(ear.heard.error.empty());
        CHECK(ear.heard.count(Kind::head) == 1);
        CHECK(ear.heard.body == "kept");
        CHECK(ear.heard.count(Kind::body_end) == 1);
    }
}

TEST_CASE("record: a request without parameters is a head without pairs", "[record]")
{
    Ear ear;
    ear.hear(wire::request(1, {}, {}));
    CHECK(ear.heard.kinds == std::vector{Kind::head, Kind::body_end});
    CHECK(ear.parser.params().pairs().empty());
}

TEST_CASE("record: the head is told as soon as its last byte is there", "[record]")
{
    Ear ear;
    const std::string head = wire::head(1, some_pairs);
    ear.hear(std::string_view(head).substr(0, head.size() - 1));
    CHECK(ear.heard.kinds.empty());
    CHECK_FALSE(ear.parser.idle());
    ear.hear(std::string_view(head).substr(head.size() - 1));
    CHECK(ear.heard.kinds == std::vector{Kind::head});
}

TEST_CASE("record: only the first byte ends the idle state", "[record]")
{
    Ear ear;
    CHECK(ear.parser.idle());
    ear.hear(wire::record(wire::get_values, 0));
    CHECK(ear.parser.idle());
    ear.hear(std::string_view("\x01", 1));
    CHECK_FALSE(ear.parser.idle());
}

// --- data that looks like protocol --------------------------------------------------------------

TEST_CASE("record: a request inside a request body is data", "[record]")
{
    const std::string forged = wire::request(1, wire::pair("SCRIPT_FILENAME", "/bin/sh"), "id");
    Ear ear;
    ear.hear(wire::request(1, some_pairs, forged), 5);
    CHECK(ear.heard.body == forged);
    CHECK(ear.heard.count(Kind::head) == 1);
    CHECK(ear.parser.params().get("SCRIPT_FILENAME").empty());
}

TEST_CASE("record: names and values are raw bytes", "[record]")
{
    const std::string name("A\0=\n", 4);
    const std::string value("\0\xff\r\n", 4);
    Ear ear;
    ear.hear(
        wire::head(1, wire::pair(name, value) + wire::pair("", "nameless") + wire::pair("E", "")));
    REQUIRE(ear.parser.params().pairs().size() == 3);
    CHECK(ear.parser.params().pairs()[0].first == name);
    CHECK(ear.parser.params().pairs()[0].second == value);
    CHECK(ear.parser.params().pairs()[1].second == "nameless");
    CHECK(ear.parser.params().has("E"));
}

TEST_CASE("record: records of other requests do not touch the one being served", "[record]")
{
    Ear ear;
    ear.hear(wire::record(wire::stdin_stream, 9, "nobody's") + wire::record(wire::params, 9) +
             wire::record(wire::abort_request, 9) + wire::begin(1) +
             wire::record(wire::params, 2, "not pairs") +
             wire::record(wire::params, 1, some_pairs) + wire::record(wire::params, 2) +
             wire::record(wire::params, 1) + wire::record(wire::stdin_stream, 2, "foreign") +
             wire::record(wire::stdin_stream, 1, "abc") +
             wire::record(wire::stdin_stream, 2, {}, 3) +
             wire::record(wire::stdin_stream, 1, "def") + wire::record(wire::abort_request, 2) +
             wire::record(wire::stdin_stream, 1));
    CHECK(ear.heard.error.empty());
    CHECK(ear.heard.body == "abcdef");
    CHECK(ear.heard.count(Kind::aborted) == 0);
    CHECK(ear.heard.count(Kind::body_end) == 1);
    CHECK(ear.parser.params().pairs().size() == 2);
}

TEST_CASE("record: FCGI_DATA and unknown types of the request are ignored", "[record]")
{
    Ear ear;
    ear.hear(wire::begin(1) + wire::record(77, 1, "what") +
             wire::record(wire::params, 1, some_pairs) + wire::record(wire::data, 1, "early") +
             wire::record(wire::params, 1) + wire::record(wire::data, 1, "data") +
             wire::record(255, 1, "what", 9) + wire::stream(wire::stdin_stream, 1, "body"));
    CHECK(ear.heard.error.empty());
    CHECK(ear.heard.body == "body");
    CHECK(ear.heard.replies.empty());
    CHECK(ear.parser.params().pairs().size() == 2);
}

TEST_CASE("record: what follows the end of STDIN is ignored", "[record]")
{
    Ear ear;
    ear.hear(wire::request(1, some_pairs, "body") + wire::record(wire::stdin_stream, 1, "more") +
             wire::record(wire::stdin_stream, 1));
    CHECK(ear.heard.error.empty());
    CHECK(ear.heard.body == "body");
    CHECK(ear.heard.count(Kind::body_end) == 1);
}

// --- abort --------------------------------------------------------------------------------------

TEST_CASE("record: an abort is told in every phase of the request", "[record]")
{
    const std::string abort = wire::record(wire::abort_request, 1);
    const std::string phases[] = {
        wire::begin(1),
        wire::begin(1) + wire::record(wire::params, 1, some_pairs),
        wire::head(1, some_pairs),
        wire::head(1, some_pairs) + wire::record(wire::stdin_stream, 1, "half"),
        wire::request(1, some_pairs, "body"),
    };
    for (const std::string& phase : phases) {
        Ear ear;
        ear.hear(phase + abort);
        CHECK(ear.heard.count(Kind::aborted) == 1);
        CHECK(ear.heard.error.empty());
    }
}

// --- management records and refusals ------------------------------------------------------------

TEST_CASE("record: GET_VALUES is answered at once with the names that are known", "[record]")
{
    Ear ear;
    ear.hear(wire::record(wire::get_values,
                          0,
                          wire::pair("FCGI_MPXS_CONNS", "") + wire::pair("WHAT", "") +
                              wire::pair("FCGI_MAX_CONNS", "ignored")));
    const auto reply = wire::decode(ear.heard.replies);
    REQUIRE(reply.broken.empty());
    REQUIRE(reply.records.size() == 1);
    CHECK(reply.records[0].type == wire::get_values_result);
    CHECK(reply.records[0].id == 0);
    const std::string& content = reply.records[0].content;
    CHECK(content.find(wire::pair("FCGI_MPXS_CONNS", "0")) != std::string::npos);
    CHECK(content.find(wire::pair("FCGI_MAX_CONNS", "1")) != std::string::npos);
    CHECK(content.find("WHAT") == std::string::npos);
    CHECK(content.find("FCGI_MAX_REQS") == std::string::npos);
}

TEST_CASE("record: a name asked for many times in GET_VALUES is answered once", "[record]")
{
    std::string query;
    for (int i = 0; i < 50; ++i)
        query += wire::pair("FCGI_MAX_REQS", "");
    Ear ear;
    ear.hear(wire::record(wire::get_values, 0, query));
    const auto reply = wire::decode(ear.heard.replies);
    REQUIRE(reply.records.size() == 1);
    CHECK(reply.records[0].content == wire::pair("FCGI_MAX_REQS", "1"));
}

TEST_CASE("record: GET_VALUES with a malformed query is answered without values", "[record]")
{
    Ear ear;
    ear.hear(wire::record(wire::get_values,
                          0,
                          "\x7f\x7f"
                          "FCGI_MAX_CONNS"));
    CHECK(ear.heard.error.empty());
    const auto reply = wire::decode(ear.heard.replies);
    REQUIRE(reply.records.size() == 1);
    CHECK(reply.records[0].content.empty());
}

TEST_CASE("record: a GET_VALUES query of 64 KB is refused", "[record]")
{
    Ear ear;
    ear.hear(wire::record(wire::get_values, 0, std::string(65'535, 'x')));
    CHECK(ear.heard.kinds == std::vector{Kind::error});
}

TEST_CASE("record: a request is served after GET_VALUES and amid management records", "[record]")
{
    const std::string unknown = wire::record(99, 0, "INJECTED", 7);
    Ear ear;
    ear.hear(wire::record(wire::get_values, 0, wire::pair("FCGI_MAX_CONNS", "")) + wire::begin(1) +
             wire::record(wire::params, 1, some_pairs) + unknown + wire::record(wire::params, 1) +
             wire::record(wire::stdin_stream, 1, "abc") + unknown +
             wire::record(wire::stdin_stream, 1, "def") + wire::record(wire::stdin_stream, 1));
    CHECK(ear.heard.error.empty());
    CHECK(ear.heard.body == "abcdef");
    const auto reply = wire::decode(ear.heard.replies);
    REQUIRE(reply.records.size() == 3);
    CHECK(reply.records[1].type == wire::unknown_type);
    CHECK(reply.records[1].id == 0);
    CHECK(reply.records[1].content == std::string("\x63\0\0\0\0\0\0\0", 8));
}

TEST_CASE("record: a second request on the connection is refused and the first unharmed",
          "[record]")
{
    Ear ear;
    ear.hear(wire::head(1, some_pairs) + wire::record(wire::stdin_stream, 1, "abc") +
             wire::request(2, wire::pair("X", "other"), "other body") +
             wire::record(wire::stdin_stream, 1, "def") + wire::record(wire::stdin_stream, 1));
    CHECK(ear.heard.error.empty());
    CHECK(ear.heard.count(Kind::head) == 1);
    CHECK(ear.heard.body == "abcdef");
    CHECK(ear.parser.params().get("X") == "y");
    CHECK(ear.parser.request_id() == 1);
    const auto reply = wire::decode(ear.heard.replies);
    REQUIRE(reply.records.size() == 1);
    CHECK(reply.records[0].id == 2);
    CHECK(reply.protocol_status() == wire::cant_mpx_conn);
}

TEST_CASE("record: an unknown role is answered and the connection given up", "[record]")
{
    for (const unsigned role : {0u, 2u, 3u, 4u, 255u}) {
        Ear ear;
        ear.hear(wire::begin(5, false, role));
        CHECK(ear.heard.kinds == std::vector{Kind::refused});
        const auto reply = wire::decode(ear.heard.replies);
        REQUIRE(reply.records.size() == 1);
        CHECK(reply.records[0].id == 5);
        CHECK(reply.protocol_status() == wire::unknown_role);
    }
}

TEST_CASE("record: after an unknown role a kept connection serves the next request", "[record]")
{
    Ear ear;
    ear.hear(wire::begin(5, true, 2) + wire::stream(wire::params, 5, "not even pairs") +
             wire::request(5, some_pairs, "body"));
    CHECK(ear.heard.error.empty());
    CHECK(wire::decode(ear.heard.replies).protocol_status() == wire::unknown_role);
    CHECK(ear.heard.count(Kind::head) == 1);
    CHECK(ear.heard.body == "body");
}

// --- what cannot be FastCGI ---------------------------------------------------------------------

TEST_CASE("record: an HTTP request is an error", "[record]")
{
    Ear ear;
    ear.hear("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(ear.heard.kinds == std::vector{Kind::error});
    CHECK(ear.heard.error.find("not by HTTP") != std::string::npos);
}

TEST_CASE("record: broken records are errors", "[record]")
{
    const auto [bytes, what] = GENERATE(table<std::string, const char*>({
        {wire::record(wire::params, 1, "x", 0, 0), "version 0"},
        {wire::record(wire::params, 1, "x", 0, 2), "version 2"},
        {wire::record(wire::begin_request, 1, "1234567"), "a short BEGIN_REQUEST"},
        {wire::record(wire::begin_request, 1, "123456789"), "a long BEGIN_REQUEST"},
        {wire::record(wire::begin_request, 1), "an empty BEGIN_REQUEST"},
        {wire::begin(0), "BEGIN_REQUEST with id 0"},
        {wire::record(wire::stdin_stream, 0, "x"), "STDIN with id 0"},
        {wire::begin(1) + wire::begin(1), "the same request begun twice"},
        {wire::head(1, {}) + wire::begin(1), "the request being served begun again"},
        {wire::begin(1) + wire::record(wire::stdin_stream, 1, "x"), "STDIN before the head's end"},
        {wire::head(1, {}) + wire::record(wire::params, 1, "x"), "PARAMS after their end"},
        {wire::head(1, {}) + wire::record(wire::params, 1), "PARAMS ended twice"},
    }));
    CAPTURE(what);
    Ear ear;
    ear.hear(bytes, 3);
    REQUIRE(ear.heard.count(Kind::error) > 0);
    CHECK_FALSE(ear.heard.error.empty());
    const auto first = std::find(ear.heard.kinds.begin(), ear.heard.kinds.end(), Kind::error);
    CHECK(std::all_of(first, ear.heard.kinds.end(), [](Kind kind) { return kind == Kind::error; }));
}

TEST_CASE("record: nothing is served after an error", "[record]")
{
    Ear ear;
    ear.hear(wire::record(wire::params, 1, "x", 0, 9));
    ear.hear(wire::request(1, some_pairs, "body"));
    CHECK(ear.heard.count(Kind::head) == 0);
    CHECK(ear.heard.body.empty());
    CHECK(ear.heard.count(Kind::error) == 2);
}

TEST_CASE("record: pairs that claim more than there is are an error", "[record]")
{
    const std::string huge("\xff\xff\xff\xff", 4);
    const std::string int_max("\xff\xff\xff\xfe", 4);
    const std::string cases[] = {
        huge + huge,
        int_max + int_max,
        huge + std::string(1, '\0'),
        std::string(1, '\0') + huge,
        "\x01\x05name",
        "\x7f\x01n",
        "\x04",
        std::string("\x80\0\0", 3),
        std::string("\x01\x80\0\0", 4),
        wire::pair("A", "b") + "\x01\x01x",
    };
    for (const std::string& pairs : cases) {
        CAPTURE(pairs);
        Ear ear;
        ear.hear(wire::head(1, pairs));
        CHECK(ear.heard.kinds == std::vector{Kind::error});
        CHECK(ear.parser.params().pairs().empty());
    }
}

TEST_CASE("record: a head cut within or between pairs is no head", "[record]")
{
    Ear ear;
    ear.hear(wire::begin(1) + wire::record(wire::params, 1, some_pairs));
    CHECK(ear.heard.kinds.empty());
    CHECK(ear.parser.params().pairs().empty());
}

// --- limits -------------------------------------------------------------------------------------

TEST_CASE("record: parameters over the limit are told at once and nothing is kept", "[record]")
{
    const std::string pairs = wire::pair("A", long_text(1'000));
    Ear ear(pairs.size() - 1);
    const std::string bytes = wire::request(1, pairs, "body");
    const std::size_t enough_to_know = wire::begin(1).size() + 8 + pairs.size();
    ear.hear(std::string_view(bytes).substr(0, enough_to_know - 1));
    CHECK(ear.heard.kinds.empty());
    ear.hear(std::string_view(bytes).substr(enough_to_know - 1, 1));
    CHECK(ear.heard.kinds == std::vector{Kind::head});
    ear.hear(std::string_view(bytes).substr(enough_to_know));
    CHECK(ear.heard.kinds == std::vector{Kind::head});
    CHECK(ear.parser.params_too_large());
    CHECK(ear.parser.params().pairs().empty());

    Ear enough(pairs.size());
    enough.hear(bytes);
    CHECK_FALSE(enough.parser.params_too_large());
    CHECK(enough.parser.params().get("A").size() == 1'000);
    CHECK(enough.heard.body == "body");
}

TEST_CASE("record: a request begun again after its end leaves the first unharmed", "[record]")
{
    Ear ear;
    ear.hear(wire::request(1, some_pairs, "body") +
             wire::request(1, wire::pair("X", "z"), "again"));
    CHECK(ear.heard.error.empty());
    CHECK(ear.heard.count(Kind::head) == 1);
    CHECK(ear.heard.body == "body");
    CHECK(ear.parser.params().get("X") == "y");
}

TEST_CASE("record: two hundred thousand parameters are refused by the limit", "[record]")
{
    std::string pairs;
    for (int i = 0; i < 200'000; ++i)
        pairs += wire::pair("N", "v");
    Ear ear;
    ear.hear(wire::head(1, pairs));
    CHECK(ear.heard.kinds == std::vector{Kind::head});
    CHECK(ear.parser.params_too_large());
    CHECK(ear.parser.params().pairs().empty());
}

// --- records that go back -----------------------------------------------------------------------

TEST_CASE("record: our records are padded to eight bytes with zeros", "[record]")
{
    for (std::size_t size = 0; size < 40; ++size) {
        std::string out;
        fcgi::append_record(out, wire::stdout_stream, 300, std::string(size, 'x'));
        CHECK(out.size() % 8 == 0);
        const auto reply = wire::decode(out);
        CHECK(reply.broken.empty());
        REQUIRE(reply.records.size() == 1);
        CHECK(reply.records[0].id == 300);
        CHECK(reply.records[0].content == std::string(size, 'x'));
    }
}

TEST_CASE("record: the largest record of ours stays within 16 bits", "[record]")
{
    CHECK(fcgi::max_content + fcgi::padding_for(fcgi::max_content) <= 65'535);
    std::string out;
    fcgi::append_record(out, wire::stdout_stream, 1, std::string(fcgi::max_content, 'x'));
    CHECK(wire::decode(out).broken.empty());
}

TEST_CASE("record: END_REQUEST carries all 32 bits of the status", "[record]")
{
    std::string out;
    fcgi::append_end_request(out, 1, 0x01020384, wire::request_complete);
    const auto reply = wire::decode(out);
    CHECK(reply.complete());
    CHECK(reply.app_status() == 0x01020384);
    CHECK(reply.records[0].content.substr(5) == std::string(3, '\0'));
}

TEST_CASE("record: no receiver takes the broken record for a valid one", "[record]")
{
    std::string out;
    fcgi::append_broken_record(out, 1);
    CHECK_FALSE(wire::decode(out).broken.empty());
}
