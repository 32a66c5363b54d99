#include "base/text.h"
#include "tests/catch.h"

#include <cstdint>
#include <string>

using namespace std::string_literals;

namespace {

std::string quoted(std::string_view bytes)
{
    std::string out;
    text::append_quoted(out, bytes);
    return out;
}

}  // namespace

TEST_CASE("text: plain text and UTF-8 pass unchanged", "[text]")
{
    for (const char* plain : {"", "GET /a?b=c HTTP/1.1", "tab\there", "a \"quote\" and \\", "é€𝄞"})
        CHECK(text::escape_control(plain) == plain);
}

TEST_CASE("text: line breaks and escape sequences cannot get through", "[text]")
{
    CHECK(text::escape_control("a\r\nb") == "a\\x0D\\x0Ab");
    CHECK(text::escape_control("\x1b[31m") == "\\x1B[31m");
    CHECK(text::escape_control("a\0b"s) == "a\\x00b");
    CHECK(text::escape_control("\x7f") == "\\x7F");
}

TEST_CASE("text: C1 controls in UTF-8 are escaped as terminals obey them", "[text]")
{
    CHECK(text::escape_control("\xC2\x9B[2J") == "\\xC2\\x9B[2J");
    CHECK(text::escape_control("\xC2\x85") == "\\xC2\\x85");
    CHECK(text::escape_control("\xC2\xA0") == "\xC2\xA0");
}

TEST_CASE("text: bytes that are not valid UTF-8 are escaped one by one", "[text]")
{
    CHECK(text::escape_control("\xFFok") == "\\xFFok");
    CHECK(text::escape_control("\xC0\xAF") == "\\xC0\\xAF");                    // overlong
    CHECK(text::escape_control("\xE0\x80\xAF") == "\\xE0\\x80\\xAF");           // overlong
    CHECK(text::escape_control("\xED\xA0\x80") == "\\xED\\xA0\\x80");           // surrogate
    CHECK(text::escape_control("\xF4\x90\x80\x80") == "\\xF4\\x90\\x80\\x80");  // over U+10FFFF
    CHECK(text::escape_control("\xE2\x82") == "\\xE2\\x82");                    // cut
    CHECK(text::escape_control("\xE2\x82x") == "\\xE2\\x82x");
    CHECK(text::escape_control("\xF0\x9D\x84\x9E\x80") == "\xF0\x9D\x84\x9E\\x80");
}

TEST_CASE("text: quoted values can be told from escapes", "[text]")
{
    CHECK(quoted("say \"hi\"") == "say \\\"hi\\\"");
    CHECK(quoted("\\x0A") == "\\\\x0A");
    CHECK(quoted("\n\t") == "\\x0A\\x09");
    CHECK(quoted("é") == "é");
}

TEST_CASE("text: every byte value comes out printable", "[text]")
{
    for (int byte = 0; byte < 256; ++byte) {
        const auto out = quoted(std::string(1, static_cast<char>(byte)));
        for (const char c : out)
            CHECK((c >= 0x20 && c < 0x7F));
    }
}

TEST_CASE("text: names are compared without regard to ASCII case only", "[text]")
{
    CHECK(text::equal_ignoring_case("Content-Type", "content-TYPE"));
    CHECK_FALSE(text::equal_ignoring_case("a", "ab"));
    CHECK_FALSE(text::equal_ignoring_case("[", "{"));
    CHECK_FALSE(text::equal_ignoring_case("\xC4", "\xE4"));
}

TEST_CASE("text: blanks at both ends are trimmed", "[text]")
{
    CHECK(text::trim(" \t a b\t ") == "a b");
    CHECK(text::trim(" \t ").empty());
    CHECK(text::trim("").empty());
}

TEST_CASE("text: what a message quotes is cut and free of control characters", "[text]")
{
    CHECK(text::in_quotes("a\x1b") == "\"a\\x1B\"");
    CHECK(text::in_quotes(std::string(1000, 'x')) == "\"" + std::string(120, 'x') + "\"...");
}

TEST_CASE("text: a number is digits and nothing else", "[text]")
{
    CHECK(text::to_number<unsigned char>("255") == 255);
    CHECK(text::to_number<unsigned>("007") == 7);
    CHECK(text::to_number<unsigned>("660", 8) == 0660);
    for (const char* wrong : {"", "256", "-1", "+1", " 1", "1 ", "1a", "0x1"})
        CHECK_FALSE(text::to_number<unsigned char>(wrong));
}

TEST_CASE("text: one of a kind has no s", "[text]")
{
    CHECK(text::counted(0, "worker") == "0 workers");
    CHECK(text::counted(1, "worker") == "1 worker");
    CHECK(text::counted(2, "worker") == "2 workers");
}
