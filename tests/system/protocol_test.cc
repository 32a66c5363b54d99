// protocol_test.cc - framing: how requests may be cut and padded, and what replies look like.
// Source   FastCGI specification 1.0 sections 3.3, 3.4, 5; the traps that libfcgi falls into.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <string>

namespace {

Reply send_and_read(const Server& server, std::string_view bytes, std::uint16_t id = 1)
{
    FastcgiClient client(server.address());
    client.send(bytes);
    return client.read_reply(id);
}

std::string empty_record(std::uint8_t type, std::uint8_t padding = 0)
{
    return bytes_of({1, type, 1, "", padding});
}

}  // namespace

TEST_CASE("protocol: a GET is answered with STDOUT and END_REQUEST", "[protocol]")
{
    const Server server;
    const Reply reply = server.act("text=hello");
    CHECK(reply.complete());
    CHECK(reply.app_status == 0);
    CHECK(reply.status() == 200);
    CHECK(reply.body() == "hello");
    CHECK(reply.err.empty());
}

TEST_CASE("protocol: STDOUT is ended with an empty record before END_REQUEST", "[protocol]")
{
    const Server server;
    const Reply reply = server.act("text=hello");
    REQUIRE(reply.records.size() >= 3);
    const Record& before_last = reply.records[reply.records.size() - 2];
    CHECK(before_last.type == fastcgi::std_out);
    CHECK(before_last.content.empty());
    CHECK(reply.records.back().type == fastcgi::end_request);
}

TEST_CASE("protocol: without KEEP_CONN the server closes after END_REQUEST", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(server.get("act", "text=hello").bytes());
    CHECK(client.read_reply().complete());
    CHECK(client.wait_closed());
}

TEST_CASE("protocol: small and large request ids are echoed", "[protocol]")
{
    const Server server;
    for (const int id : {1, 255, 256, 300, 65535}) {
        Request request = server.get("act", "text=hello");
        request.id = static_cast<std::uint16_t>(id);
        const Reply reply = server.ask(request);  // read_reply refuses any other id
        CHECK(reply.complete());
        CHECK(reply.body() == "hello");
    }
}

TEST_CASE("protocol: PARAMS may be cut into records of one byte", "[protocol]")
{
    const Server server;
    const Request request = server.get("act", "plain&env");
    const Reply reply = send_and_read(
        server,
        begin_request(1) + stream_of(fastcgi::params, 1, pairs_of(request.params), 1) +
            empty_record(fastcgi::params) + request.input());
    REQUIRE(reply.complete());
    CHECK(entry(reply.body(), "REMOTE_ADDR") == "192.0.2.7");
    CHECK(entry(reply.body(), "HTTP_USER_AGENT") == "system-test/1");
}

TEST_CASE("protocol: PARAMS may be cut anywhere in a four byte length", "[protocol]")
{
    const Server server;
    const Request request = server.get("act", "plain&env");
    const std::string value(300, 'v');
    const std::string before = pairs_of(request.params);
    const std::string whole = before + pair_of("HTTP_X_LONG", value);
    for (std::size_t cut = before.size() - 1; cut < before.size() + 8; ++cut) {
        const std::string bytes = begin_request(1) +
                                  stream_of(fastcgi::params, 1, whole.substr(0, cut)) +
                                  stream_of(fastcgi::params, 1, whole.substr(cut)) +
                                  empty_record(fastcgi::params) + request.input();
        const Reply reply = send_and_read(server, bytes);
        REQUIRE(reply.complete());
        CHECK(entry(reply.body(), "HTTP_X_LONG") == value);
    }
}

TEST_CASE("protocol: a name of 200 and a value of 70000 bytes arrive whole", "[protocol]")
{
    const Server server;
    const std::string name = "HTTP_" + std::string(195, 'N');
    const std::string value(70000, 'v');
    Request request = server.get("act", "plain&env");
    request.set(name, value);
    const Reply reply = server.ask(request);
    REQUIRE(reply.complete());
    CHECK(entry(reply.body(), name) == value);
}

TEST_CASE("protocol: padding on every record is skipped", "[protocol]")
{
    const Server server;
    Request request = server.post("act", "plain&echo", "the body of the request");
    for (const int padding : {1, 7, 8, 255}) {
        const auto size = static_cast<std::uint8_t>(padding);
        std::string begin = begin_request(1);
        begin[6] = static_cast<char>(size);
        begin += std::string(size, '\x01');
        const std::string bytes =
            begin + stream_of(fastcgi::params, 1, pairs_of(request.params), 100, size) +
            empty_record(fastcgi::params, size) +
            stream_of(fastcgi::std_in, 1, request.body, 5, size) +
            empty_record(fastcgi::std_in, size);
        const Reply reply = send_and_read(server, bytes);
        REQUIRE(reply.complete());
        CHECK(reply.body() == request.body);
    }
}

TEST_CASE("protocol: a padded empty PARAMS record ends PARAMS and the body is not lost",
          "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "not lost");
    for (const int padding : {1, 8, 255}) {
        const std::string bytes =
            begin_request(1) + stream_of(fastcgi::params, 1, pairs_of(request.params)) +
            empty_record(fastcgi::params, static_cast<std::uint8_t>(padding)) + request.input();
        const Reply reply = send_and_read(server, bytes);
        REQUIRE(reply.complete());
        CHECK(reply.body() == "not lost");
    }
}

TEST_CASE("protocol: records of 65535 bytes with 255 bytes of padding are taken whole",
          "[protocol]")
{
    const Server server;
    Request request = server.post("act", "plain&count", std::string(196605, 'b'));
    request.set("HTTP_X_LARGE", std::string(90000, 'p'));
    const std::string bytes =
        begin_request(1) + stream_of(fastcgi::params, 1, pairs_of(request.params), 65535, 255) +
        empty_record(fastcgi::params) + stream_of(fastcgi::std_in, 1, request.body, 65535, 255) +
        empty_record(fastcgi::std_in);
    const Reply reply = send_and_read(server, bytes);
    REQUIRE(reply.complete());
    CHECK(reply.body() == "196605");
}

TEST_CASE("protocol: a request sent byte by byte is served", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    Request request = server.post("act", "plain&echo", "slow");
    REQUIRE(client.send_pieces(request.bytes(), 1));
    const Reply reply = client.read_reply();
    REQUIRE(reply.complete());
    CHECK(reply.body() == "slow");
}

TEST_CASE("protocol: padding and reserved bytes of replies are zero at every length", "[protocol]")
{
    const Server server;
    for (int size = 0; size <= 17; ++size) {
        const Reply reply = server.act("plain&fill=" + std::to_string(size));
        REQUIRE(reply.complete());  // parse_record throws otherwise
        CHECK(reply.body().size() == static_cast<std::size_t>(size));
    }
}

TEST_CASE("protocol: a large reply comes in well formed records", "[protocol]")
{
    const Server server;
    const Reply reply = server.act("plain&fill=1000000");
    REQUIRE(reply.complete());
    CHECK(reply.body().size() == 1000000);
    for (const Record& record : reply.records)
        CHECK(record.content.size() + record.padding <= fastcgi::largest_content);
}

TEST_CASE("protocol: appStatus carries the exit status of the program", "[protocol]")
{
    const Server server;
    CHECK(server.act("text=x&exit=7").app_status == 7);
    CHECK(server.act("text=x&exit=255").app_status == 255);
}

TEST_CASE("protocol: a half-closed connection still gets its answer", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(server.post("act", "plain&echo", "half").bytes());
    client.half_close();
    const Reply reply = client.read_reply();
    REQUIRE(reply.complete());
    CHECK(reply.body() == "half");
}

TEST_CASE("protocol: two requests back to back do not harm the first one", "[protocol]")
{
    const Server server;
    Request first = server.get("act", "text=first");
    Request second = server.get("act", "text=second");
    first.keep = second.keep = true;
    FastcgiClient client(server.address());
    client.send(first.bytes() + second.bytes());
    const Reply one = client.read_reply();
    CAPTURE(static_cast<int>(one.end), one.out);
    REQUIRE(one.complete());
    CHECK(one.body() == "first");
    const Reply two = client.read_reply();
    if (two.end == End::ended)
        CHECK(two.body() == "second");
    else
        CHECK((two.end == End::closed || two.end == End::reset));
}

TEST_CASE("protocol: a connection that shall be kept is closed after its reply", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    Request request = server.get("act", "text=once");
    request.keep = true;
    REQUIRE(client.send(request.bytes()));
    CHECK(client.read_reply().body() == "once");
    CHECK(client.wait_closed());
}
