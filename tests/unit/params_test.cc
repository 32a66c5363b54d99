// params_test.cc - the decoder of name-value pairs, with lengths that lie.
#include "fcgi/params.h"
#include "tests/catch.h"
#include "tests/unit/wire.h"

#include <string>
#include <string_view>

using fcgi::Params;
using namespace std::string_literals;

namespace {

const std::string cut = "\x80\0\0"s;  // three bytes of a length of four

}  // namespace

TEST_CASE("params: pairs come in the order in which they were sent", "[params]")
{
    Params params;
    REQUIRE(params.decode(wire::pair("B", "2") + wire::pair("A", "1") + wire::pair("B", "3")));
    REQUIRE(params.pairs().size() == 3);
    CHECK(params.pairs()[0] == Params::Pair("B", "2"));
    CHECK(params.pairs()[1] == Params::Pair("A", "1"));
    CHECK(params.pairs()[2] == Params::Pair("B", "3"));
}

TEST_CASE("params: of a name that is sent twice the last value counts", "[params]")
{
    Params params;
    REQUIRE(params.decode(wire::pair("A", "1") + wire::pair("A", "") + wire::pair("B", "2")));
    CHECK(params.has("A"));
    CHECK(params.get("A").empty());
    CHECK(params.get("B") == "2");
}

TEST_CASE("params: a name that was not sent has no value", "[params]")
{
    Params params;
    REQUIRE(params.decode(wire::pair("A", "1")));
    CHECK_FALSE(params.has("AA"));
    CHECK_FALSE(params.has(""));
    CHECK(params.get("a").empty());
}

TEST_CASE("params: an empty stream has no pairs", "[params]")
{
    Params params;
    CHECK(params.decode(""));
    CHECK(params.pairs().empty());
}

TEST_CASE("params: empty names and values and all bytes are taken", "[params]")
{
    std::string all;
    for (int c = 0; c < 256; ++c)
        all += static_cast<char>(c);
    Params params;
    REQUIRE(params.decode(wire::pair("", "") + wire::pair(all, all)));
    CHECK(params.pairs()[0] == Params::Pair("", ""));
    CHECK(params.pairs()[1] == Params::Pair(all, all));
}

TEST_CASE("params: lengths on both sides of 127 bytes are understood", "[params]")
{
    for (const std::size_t size : {126U, 127U, 128U, 255U, 256U, 65'535U, 65'536U, 200'000U}) {
        const std::string name(size, 'n');
        const std::string value(size, 'v');
        Params params;
        REQUIRE(params.decode(wire::pair(name, value) + wire::pair("X", "1")));
        CHECK(params.get(name) == value);
        CHECK(params.get("X") == "1");
    }
}

TEST_CASE("params: a short length in four bytes is the same length", "[params]")
{
    Params params;
    REQUIRE(params.decode("\x80\0\0\x01\x80\0\0\x02"s + "Abc"));
    CHECK(params.get("A") == "bc");
}

TEST_CASE("params: a pair that claims more than there is makes the stream malformed", "[params]")
{
    const std::string good = wire::pair("A", "1");
    for (const std::string& bad : {"\x01"s,                              // no second length
                                   "\x01\x01"s,                          // no name
                                   "\x01\x01"s + "A",                    // no value
                                   "\x01\x02"s + "Ab",                   // half a value
                                   "\x80"s,                              // a cut length
                                   cut,                                  // the same
                                   "\x01"s + cut,                        // a cut second length
                                   "\xff\xff\xff\xff\xff\xff\xff\xff"s,  // 2 GB and 2 GB
                                   "\xff\xff\xff\xff\x01"s + "A",        // 2 GB of name
                                   "\x01\xff\xff\xff\xff"s + "A"}) {     // 2 GB of value
        Params params;
        CHECK_FALSE(params.decode(good + bad));
        CHECK(params.pairs().empty());
        CHECK_FALSE(params.has("A"));
    }
}

TEST_CASE("params: what was decoded before is forgotten", "[params]")
{
    Params params;
    REQUIRE(params.decode(wire::pair("OLD", "1")));
    REQUIRE(params.decode(wire::pair("NEW", "2")));
    CHECK_FALSE(params.has("OLD"));
    params.clear();
    CHECK(params.pairs().empty());
}
