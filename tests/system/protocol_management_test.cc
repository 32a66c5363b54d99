// protocol_management_test.cc - management records, roles, and records that belong to no request.
// Source   FastCGI specification 1.0 sections 3.3, 4, 5.5, 6; traps measured with libfcgi.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <set>
#include <string>

namespace {

std::string get_values(const std::vector<std::string>& names, std::uint8_t padding = 0)
{
    Pairs pairs;
    for (const auto& name : names)
        pairs.emplace_back(name, "");
    return bytes_of({1, fastcgi::get_values, 0, pairs_of(pairs), padding});
}

const std::vector<std::string> known{"FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"};

// The request, with bytes put between its PARAMS and its body.
Reply ask_with(const Server& server, const Request& request, const std::string& between)
{
    FastcgiClient client(server.address());
    client.send(request.head() + between + request.input());
    return client.read_reply(request.id);
}

}  // namespace

TEST_CASE("management: GET_VALUES alone is answered at once", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(get_values(known));
    const auto record = client.read_record();
    REQUIRE(record);
    CHECK(record->type == fastcgi::get_values_result);
    CHECK(record->id == 0);
    std::set<std::string> names;
    for (const auto& [name, value] : parse_pairs(record->content)) {
        names.insert(name);
        CHECK(value.find_first_not_of("0123456789") == std::string::npos);
        CHECK_FALSE(value.empty());
        if (name == "FCGI_MPXS_CONNS")
            CHECK(value == "0");
    }
    CHECK(names == std::set<std::string>(known.begin(), known.end()));
}

TEST_CASE("management: GET_VALUES answers only the known names that were asked for", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(get_values({"FCGI_MPXS_CONNS", "FCGI_NO_SUCH_NAME", "PATH"}, 5));
    const auto record = client.read_record();
    REQUIRE(record);
    const Pairs pairs = parse_pairs(record->content);
    REQUIRE(pairs.size() == 1);
    CHECK(pairs[0].first == "FCGI_MPXS_CONNS");
}

TEST_CASE("management: the connection serves a request after GET_VALUES", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(get_values(known));
    REQUIRE(client.read_record());
    client.send(server.get("act", "text=after").bytes());
    CHECK(client.read_reply().body() == "after");
}

TEST_CASE("management: a name repeated many times in GET_VALUES does no harm", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(get_values(std::vector<std::string>(1000, "FCGI_MAX_CONNS")));
    const auto record = client.read_record();
    if (record)
        CHECK(record->type == fastcgi::get_values_result);
    else
        CHECK(client.closed());
    CHECK(server.serves());
}

TEST_CASE("management: an unknown management record is answered with UNKNOWN_TYPE", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(bytes_of({1, 99, 0, "what is this", 4}));
    const auto record = client.read_record();
    REQUIRE(record);
    CHECK(record->type == fastcgi::unknown_type);
    CHECK(record->id == 0);
    REQUIRE(record->content.size() == 8);
    CHECK(record->content[0] == 99);
    client.send(server.get("act", "text=after").bytes());
    CHECK(client.read_reply().body() == "after");
}

TEST_CASE("management: the content of an unknown management record is not taken for input",
          "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "abcdef");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "abc") +
                bytes_of({1, 77, 0, "INJECTED", 0}) + stream_of(fastcgi::std_in, 1, "def") +
                bytes_of({1, fastcgi::std_in, 1, "", 0}));
    const auto first = client.read_record();
    REQUIRE(first);
    CHECK(first->type == fastcgi::unknown_type);
    CHECK(client.read_reply().body() == "abcdef");
}

TEST_CASE("management: an unknown role is refused with UNKNOWN_ROLE", "[protocol]")
{
    const Server server;
    Request request = server.get("act", "text=x");
    request.role = 42;
    const Reply reply = server.ask(request);
    CHECK(reply.end == End::ended);
    CHECK(reply.protocol_status == fastcgi::unknown_role);
    CHECK(reply.out.empty());
}

TEST_CASE("management: the authorizer role is answered or refused", "[protocol]")
{
    const Server server;
    Request request = server.get("act", "text=x");
    request.role = fastcgi::authorizer;
    FastcgiClient client(server.address());
    client.send(request.head());  // an authorizer gets no STDIN
    const Reply reply = client.read_reply();
    REQUIRE(reply.end == End::ended);
    CHECK((reply.protocol_status == fastcgi::unknown_role || reply.status() == 200));
}

TEST_CASE("management: records of requests that are not active are ignored", "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "mine");
    std::string foreign;
    foreign += bytes_of({1, fastcgi::std_in, 7, "not mine", 3});
    foreign += bytes_of({1, fastcgi::params, 7, pair_of("A", "b"), 0});
    foreign += bytes_of({1, fastcgi::abort_request, 7, "", 0});
    foreign += bytes_of({1, fastcgi::data, 7, "data", 0});
    const Reply reply = ask_with(server, request, foreign);
    REQUIRE(reply.complete());
    CHECK(reply.body() == "mine");
}

TEST_CASE("management: an empty record of another request does not swallow input", "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "abcLOST?kept");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "abc") +
                bytes_of({1, fastcgi::std_in, 9, "", 0}) + stream_of(fastcgi::std_in, 1, "LOST?") +
                stream_of(fastcgi::std_in, 1, "kept") + bytes_of({1, fastcgi::std_in, 1, "", 0}));
    const Reply reply = client.read_reply();
    REQUIRE(reply.complete());
    CHECK(reply.body() == "abcLOST?kept");
}

TEST_CASE("management: a second request at the same time is refused with CANT_MPX_CONN",
          "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "abcdef");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "abc") + begin_request(2) +
                bytes_of({1, fastcgi::params, 2, "", 0}) +
                bytes_of({1, fastcgi::std_in, 2, "", 0}));
    const auto refusal = client.read_record();
    REQUIRE(refusal);
    CHECK(refusal->type == fastcgi::end_request);
    CHECK(refusal->id == 2);
    REQUIRE(refusal->content.size() == 8);
    CHECK(refusal->content[4] == fastcgi::cant_mpx_conn);
    client.send(stream_of(fastcgi::std_in, 1, "def") + bytes_of({1, fastcgi::std_in, 1, "", 0}));
    const Reply reply = client.read_reply();
    REQUIRE(reply.complete());
    CHECK(reply.body() == "abcdef");
}

TEST_CASE("management: DATA to a responder is ignored", "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "input");
    const Reply reply =
        ask_with(server,
                 request,
                 stream_of(fastcgi::data, 1, "data") + bytes_of({1, fastcgi::data, 1, "", 0}));
    REQUIRE(reply.complete());
    CHECK(reply.body() == "input");
}

TEST_CASE("management: an unknown record type of the active request never hangs it", "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "input");
    const Reply reply = ask_with(server, request, bytes_of({1, 55, 1, "????", 0}));
    CHECK(reply.end != End::deadline);
    if (reply.end == End::ended && reply.status() == 200)
        CHECK(reply.body() == "input");
    CHECK(server.serves());
}
