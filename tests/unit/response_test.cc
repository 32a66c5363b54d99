// response_test.cc - the header of a program's reply: what passes, what is changed, what is
// refused.
#include "handler/cgi/response.h"
#include "tests/catch.h"

#include <string>
#include <string_view>
#include <vector>

using cgi::Response;
using cgi::ResponseRules;
using Verdict = cgi::Response::Verdict;
using namespace std::string_literals;

namespace {

struct Outcome {
    Verdict verdict = Verdict::more;
    std::string header;
    std::string body;
    int status = 0;
    std::string reason;
};

// Feeds `output` in pieces of `piece` bytes, then ends it if the header is not complete.
Outcome read_reply(std::string_view output, const ResponseRules& rules, std::size_t piece)
{
    Response response(rules);
    Verdict verdict = Verdict::more;
    while (verdict == Verdict::more && !output.empty()) {
        verdict = response.feed(output.substr(0, piece));
        output.remove_prefix(std::min(piece, output.size()));
    }
    if (verdict == Verdict::more)
        verdict = response.end();
    if (verdict != Verdict::complete)
        return {verdict, "", "", 0, response.reason()};
    return {verdict,
            response.header(),
            std::string(response.rest()).append(output),
            response.status(),
            ""};
}

// The result must not depend on how the bytes arrive.
Outcome reply(std::string_view output, const ResponseRules& rules = {})
{
    Outcome whole = read_reply(output, rules, std::string_view::npos);
    for (const std::size_t piece : {1U, 2U, 3U, 7U}) {
        const Outcome pieces = read_reply(output, rules, piece);
        INFO("in pieces of " << piece << " bytes");
        CHECK(pieces.verdict == whole.verdict);
        CHECK(pieces.header == whole.header);
        CHECK(pieces.body == whole.body);
        CHECK(pieces.status == whole.status);
    }
    return whole;
}

std::string header_of(std::string_view output, const ResponseRules& rules = {})
{
    const Outcome outcome = reply(output, rules);
    INFO(outcome.reason);
    CHECK(outcome.verdict == Verdict::complete);
    return outcome.header;
}

// Why `output` is refused; empty when it is not.
std::string refusal(std::string_view output, const ResponseRules& rules = {})
{
    const Outcome outcome = reply(output, rules);
    CHECK(outcome.verdict == Verdict::invalid);
    return outcome.reason;
}

bool contains(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

constexpr ResponseRules lenient{64 << 10, true, false};
constexpr ResponseRules with_local_redirect{64 << 10, false, true};

}  // namespace

TEST_CASE("response: a header with LF line ends passes with CRLF", "[response]")
{
    const auto outcome = reply("Content-Type: text/plain\nX-A: 1\n\nbody\n");
    CHECK(outcome.header == "Content-Type: text/plain\r\nX-A: 1\r\n\r\n");
    CHECK(outcome.body == "body\n");
    CHECK(outcome.status == 200);
}

TEST_CASE("response: a header with CRLF line ends passes as it is", "[response]")
{
    const auto outcome = reply("Content-Type: text/plain\r\nX-A: 1\r\n\r\nbody");
    CHECK(outcome.header == "Content-Type: text/plain\r\nX-A: 1\r\n\r\n");
    CHECK(outcome.body == "body");
}

TEST_CASE("response: line ends may differ within one header", "[response]")
{
    CHECK(header_of("A: 1\r\nB: 2\n\r\n") == "A: 1\r\nB: 2\r\n\r\n");
    CHECK(header_of("A: 1\nB: 2\r\n\n") == "A: 1\r\nB: 2\r\n\r\n");
}

TEST_CASE("response: a body of blank lines and NULs arrives exact", "[response]")
{
    const std::string body = "\n\r\n\0\xff\0Status: 500\n"s;
    CHECK(reply("Content-Type: a/b\n\n" + body).body == body);
}

TEST_CASE("response: the header is complete with its blank line and not before", "[response]")
{
    Response response(ResponseRules{});
    CHECK(response.feed("Content-Type: a/b\r\n\r") == Verdict::more);
    CHECK(response.feed("") == Verdict::more);
    CHECK(response.feed("\n") == Verdict::complete);
    CHECK(response.rest().empty());
}

TEST_CASE("response: the rest is a view of the bytes that were fed", "[response]")
{
    const std::string output = "A: 1\n\nbody";
    Response response(ResponseRules{});
    REQUIRE(response.feed(output) == Verdict::complete);
    CHECK(response.rest().data() == output.data() + 6);
}

TEST_CASE("response: white space around a value is trimmed and inside it is kept", "[response]")
{
    CHECK(header_of("A:1\nB: \t b\tc d \t\nC:\nD:  \n\n") ==
          "A: 1\r\nB: b\tc d\r\nC:\r\nD:\r\n\r\n");
}

TEST_CASE("response: bytes over 127 in a value pass", "[response]")
{
    CHECK(header_of("X-Name: J\xc3\xbcrgen \xff\n\n") == "X-Name: J\xc3\xbcrgen \xff\r\n\r\n");
}

TEST_CASE("response: a missing Content-Type passes", "[response]")
{
    CHECK(header_of("X-A: 1\n\nbody") == "X-A: 1\r\n\r\n");
}

TEST_CASE("response: repeated Set-Cookie fields keep their number and order", "[response]")
{
    const std::string_view text = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nSet-Cookie: a=1\r\n\r\n";
    CHECK(header_of(text) == text);
}

TEST_CASE("response: a Status gives the status and passes", "[response]")
{
    const auto outcome = reply("Status: 404 Not Found\nContent-Type: a/b\n\n");
    CHECK(outcome.status == 404);
    CHECK(outcome.header == "Status: 404 Not Found\r\nContent-Type: a/b\r\n\r\n");
    CHECK(reply("status:599\n\n").status == 599);
    CHECK(reply("STATUS: 200\tfine\n\n").status == 200);
}

TEST_CASE("response: a Status that is no number of three digits is refused", "[response]")
{
    for (const std::string_view value : {"abc",
                                         "99",
                                         "2000",
                                         "20",
                                         "",
                                         "2 00",
                                         "-20",
                                         "+20",
                                         "0x1",
                                         "200OK",
                                         "20O OK",
                                         "2\xc2\xb2"}) {
        INFO(value);
        CHECK(contains(refusal("Status: " + std::string(value) + "\n\n"), "three digits"));
    }
}

TEST_CASE("response: a Status outside 200 to 599 is refused", "[response]")
{
    for (const std::string_view value :
         {"000", "100 Continue", "101", "103", "199", "600", "999"}) {
        INFO(value);
        CHECK(contains(refusal("Status: " + std::string(value) + "\n\n"), "outside 200 to 599"));
    }
}

TEST_CASE("response: two different Status fields are refused and equal ones become one",
          "[response]")
{
    CHECK(contains(refusal("Status: 200 OK\nStatus: 404\n\n"), "another status"));
    CHECK(header_of("Status: 404 Not Found\nStatus: 404\n\n") == "Status: 404 Not Found\r\n\r\n");
}

TEST_CASE("response: a first line HTTP/1.x is taken as the Status", "[response]")
{
    const auto outcome = reply("HTTP/1.1 203 Fine by me\r\nContent-Type: a/b\r\n\r\nx");
    CHECK(outcome.status == 203);
    CHECK(outcome.header == "Status: 203 Fine by me\r\nContent-Type: a/b\r\n\r\n");
    CHECK(header_of("HTTP/1.0 200\n\n") == "Status: 200\r\n\r\n");
}

TEST_CASE("response: a broken HTTP/1.x line is refused", "[response]")
{
    CHECK(contains(refusal("HTTP/1.1\n\n"), "three digits"));
    CHECK(contains(refusal("HTTP/1.1 abc\n\n"), "three digits"));
    CHECK(contains(refusal("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\n\n"), "outside"));
    CHECK(contains(refusal("HTTP/2 200\n\n"), "version"));
    CHECK(contains(refusal("HTTP/1.1 200 O\rK\n\n"), "control character"));
    CHECK(contains(refusal("HTTP/1.1 200 OK\nStatus: 500\n\n"), "another status"));
    CHECK(contains(refusal("A: 1\nHTTP/1.1 200 OK\n\n"), "line 2 of the header has no colon"));
}

TEST_CASE("response: an absolute Location without Status becomes a 302", "[response]")
{
    const auto outcome = reply("Location: http://example.com/x?a=b\n\n");
    CHECK(outcome.status == 302);
    CHECK(outcome.header == "Location: http://example.com/x?a=b\r\nStatus: 302 Found\r\n\r\n");
    CHECK(reply("Location: //other.example/x\n\n", with_local_redirect).header ==
          "Location: //other.example/x\r\nStatus: 302 Found\r\n\r\n");
}

TEST_CASE("response: a Location with a Status keeps that Status", "[response]")
{
    for (const std::string_view text : {"Location: http://a/\nStatus: 303 See Other\n\n",
                                        "Status: 303 See Other\nLocation: /local\n\n"}) {
        const auto outcome = reply(text, with_local_redirect);
        CHECK(outcome.status == 303);
        CHECK(contains(outcome.header, "Status: 303 See Other\r\n"));
        CHECK(contains(outcome.header, "Location: "));
        CHECK_FALSE(contains(outcome.header, "302"));
        CHECK_FALSE(contains(outcome.header, "Accel"));
    }
}

TEST_CASE("response: a local Location passes unchanged", "[response]")
{
    const auto outcome = reply("Location: /other?x=1\nX-A: 1\n\n");
    CHECK(outcome.header == "X-A: 1\r\nLocation: /other?x=1\r\n\r\n");
    CHECK(outcome.status == 302);
}

TEST_CASE("response: a local Location becomes X-Accel-Redirect when that is on", "[response]")
{
    CHECK(header_of("Location: /other\n\n", with_local_redirect) ==
          "X-Accel-Redirect: /other\r\n\r\n");
}

TEST_CASE("response: two different Location fields are refused", "[response]")
{
    CHECK(contains(refusal("Location: /a\nLocation: /b\n\n"), "another Location"));
    CHECK(header_of("Location: /a\nlocation: /a\n\n") == "Location: /a\r\n\r\n");
}

TEST_CASE("response: hop-by-hop fields are dropped", "[response]")
{
    CHECK(header_of("Connection: close\nKeep-Alive: timeout=5\nProxy-Authenticate: Basic\n"
                    "Proxy-Connection: x\nTE: trailers\nTrailer: X\nTRANSFER-ENCODING: chunked\n"
                    "Upgrade: h2c\nX-Kept: 1\nProxyX: 2\nTEX: 3\n\n") ==
          "X-Kept: 1\r\nProxyX: 2\r\nTEX: 3\r\n\r\n");
}

TEST_CASE("response: a header whose fields are all dropped does not become empty", "[response]")
{
    CHECK(header_of("Connection: close\n\nbody") == "Status: 200 OK\r\n\r\n");
}

TEST_CASE("response: a Content-Length is understood and passes once", "[response]")
{
    Response response(ResponseRules{});
    REQUIRE(response.feed("content-length: 0042\nX-A: 1\nContent-Length: 42\n\n") ==
            Verdict::complete);
    CHECK(response.content_length() == 42);
    CHECK(response.header() == "X-A: 1\r\nContent-Length: 42\r\n\r\n");
}

TEST_CASE("response: without a Content-Length there is none", "[response]")
{
    Response response(ResponseRules{});
    REQUIRE(response.feed("X-A: 1\n\n") == Verdict::complete);
    CHECK_FALSE(response.content_length());
}

TEST_CASE("response: a Content-Length that is no number or differs is refused", "[response]")
{
    for (const std::string_view value :
         {"", "abc", "-1", "+1", "1 2", "1, 1", "0x10", "1.0", "18446744073709551616"}) {
        INFO(value);
        CHECK(contains(refusal("Content-Length: " + std::string(value) + "\n\n"), "no number"));
    }
    CHECK(contains(refusal("Content-Length: 1\nContent-Length: 2\n\n"), "another Content-Length"));
}

TEST_CASE("response: 204 and 304 have no body and 204 has no Content-Length", "[response]")
{
    Response no_content(ResponseRules{});
    REQUIRE(no_content.feed("Content-Length: 5\nStatus: 204\n\nhello") == Verdict::complete);
    CHECK_FALSE(no_content.has_body());
    CHECK(no_content.header() == "Status: 204\r\n\r\n");

    Response not_modified(ResponseRules{});
    REQUIRE(not_modified.feed("Status: 304\nContent-Length: 5\n\n") == Verdict::complete);
    CHECK_FALSE(not_modified.has_body());
    CHECK(not_modified.header() == "Status: 304\r\nContent-Length: 5\r\n\r\n");

    Response ok(ResponseRules{});
    REQUIRE(ok.feed("Status: 205\n\n") == Verdict::complete);
    CHECK(ok.has_body());
}

TEST_CASE("response: a bare CR in a header value is refused", "[response]")
{
    CHECK(contains(refusal("X-A: a\rSet-Cookie: b\n\n"), "control character"));
    CHECK(contains(refusal("X-A: a\r\r\n\r\n"), "control character"));
}

TEST_CASE("response: NUL and control characters in a value are refused", "[response]")
{
    for (const char c : {'\0', '\x01', '\b', '\x0b', '\x1b', '\x1f', '\x7f'}) {
        INFO(int{c});
        CHECK(contains(refusal(std::string("X-A: a") + c + "b\n\n"), "control character"));
    }
}

TEST_CASE("response: a field name that is no token is refused", "[response]")
{
    for (const std::string_view name :
         {"Name ", "Na me", "", "Na\tme", "N\xc3\xa4me", "a/b", "a(b", "a\"", "a\x7f", "a\rb"}) {
        INFO(name);
        CHECK(contains(refusal(std::string(name) + ": 1\n\n"), "no token"));
    }
    CHECK(contains(refusal("a\0b: 1\n\n"s), "no token"));
}

TEST_CASE("response: a folded line is refused", "[response]")
{
    CHECK(contains(refusal("X-A: 1\n 2\n\n"), "line 2 of the header is folded"));
    CHECK(contains(refusal("X-A: 1\n\tB: 2\n\n"), "is folded"));
    CHECK(contains(refusal(" X-A: 1\n\n"), "is folded"));
}

TEST_CASE("response: a line without a colon is refused and shown in the reason", "[response]")
{
    CHECK(refusal("Content-Type: a/b\nno colon\x1b here\n\n") ==
          "line 2 of the header has no colon: \"no colon\\x1B here\"");
    CHECK(contains(refusal("<html>\n\n"), "line 1 of the header has no colon: \"<html>\""));
}

TEST_CASE("response: a first blank line is refused", "[response]")
{
    CHECK(contains(refusal("\nbody"), "begins with a blank line"));
    CHECK(contains(refusal("\r\nbody"), "begins with a blank line"));
}

TEST_CASE("response: no output is refused in both modes", "[response]")
{
    CHECK(contains(refusal(""), "wrote nothing"));
    CHECK(contains(refusal("", lenient), "wrote nothing"));
}

TEST_CASE("response: an end before the blank line is refused", "[response]")
{
    CHECK(contains(refusal("Content-Type: a/b\n"), "ended before the blank line"));
    CHECK(contains(refusal("Content-Type"), "after 12 bytes"));
    CHECK(contains(refusal("A: 1\rB: 2\r\rbody"), "not in CR alone"));
}

TEST_CASE("response: a header up to the limit passes and a larger one is refused", "[response]")
{
    const ResponseRules rules{100, false, false};
    const std::string longest = "X: " + std::string(95, 'v') + "\n\n";
    REQUIRE(longest.size() == 100);
    CHECK(reply(longest + std::string(1000, 'b'), rules).verdict == Verdict::complete);
    CHECK(contains(refusal("X" + longest, rules), "larger than 100 bytes"));
    CHECK(contains(refusal(std::string(101, 'x'), rules), "larger than 100 bytes"));
    CHECK(contains(refusal(std::string(1000, '\n').insert(0, "A:1"), {1, false, false}), "larger"));
}

TEST_CASE("response: a header of 500 lines passes and one line more is refused", "[response]")
{
    std::string lines;
    for (int i = 0; i < 500; ++i)
        lines += "X: y\n";
    CHECK(reply(lines + "\n").verdict == Verdict::complete);
    CHECK(contains(refusal("X: y\n" + lines + "\n"), "more than 500 lines"));
}

TEST_CASE("response: lenient mode takes output without a header as the body", "[response]")
{
    for (const std::string_view output : {"just text",
                                          "just text\nmore: of it\n\n",
                                          "<a href='x:y'>\n",
                                          "Note: this is no header\nas you see\n",
                                          "Key: value\n",
                                          " indented: yes\n\n",
                                          "HTTP is nice\n",
                                          "\177ELF\n",
                                          "x: \x01\n\n"}) {
        INFO(output);
        const auto outcome = reply(output, lenient);
        CHECK(outcome.verdict == Verdict::complete);
        CHECK(outcome.header == "Status: 200 OK\r\n\r\n");
        CHECK(outcome.body == output);
        CHECK(outcome.status == 200);
    }
}

TEST_CASE("response: lenient mode takes what follows a first blank line as the body", "[response]")
{
    const auto outcome = reply("\nbody\n", lenient);
    CHECK(outcome.verdict == Verdict::complete);
    CHECK(outcome.body == "body\n");
}

TEST_CASE("response: lenient mode takes long output without a line end as the body", "[response]")
{
    const std::string output(1000, 'x');
    CHECK(reply(output, {100, true, false}).body == output);
}

TEST_CASE("response: lenient mode still refuses a broken header", "[response]")
{
    CHECK(contains(refusal("Content-Type: a/b\nbroken\n\n", lenient), "no colon"));
    CHECK(contains(refusal("Content-Type: a/b\n", lenient), "ended before"));
    CHECK(contains(refusal("Status: abc\n\n", lenient), "three digits"));
    CHECK(contains(refusal("Content-Length: x\n\n", lenient), "no number"));
    CHECK(contains(refusal("HTTP/1.1 99\n\n", lenient), "three digits"));
    CHECK(contains(refusal("Location: /a\nX: \r\n \n\n", lenient), "folded"));
}

TEST_CASE("response: lenient mode takes a good header as strict mode does", "[response]")
{
    const auto outcome = reply("Content-Type: a/b\r\n\r\nbody", lenient);
    CHECK(outcome.header == "Content-Type: a/b\r\n\r\n");
    CHECK(outcome.body == "body");
}

TEST_CASE("response: a megabyte of header in single bytes is read in linear time", "[response]")
{
    std::string output;
    while (output.size() < 1 << 20)
        output += "X-Field: " + std::string(60'000, 'v') + "\n";
    output += "\n";
    Response response({2 << 20, false, false});
    auto verdict = Verdict::more;
    for (const char& byte : output)
        verdict = response.feed({&byte, 1});
    CHECK(verdict == Verdict::complete);
}
