// protocol_hostile_test.cc - wrong and hostile bytes on the socket: nothing crashes, hangs or is
// smuggled.
// Source   CVE-2025-23016, CVE-2019-11043, CVE-2012-6687; traps measured with libfcgi.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <string>
#include <vector>

namespace {

// A request whose program leaves a mark when it runs.
Request marking(const Server& server)
{
    return server.get("act", "write=" + encode(server.directory() / "ran") + "&text=x");
}

bool ran(const Server& server)
{
    return exists(server.directory() / "ran");
}

std::string begin_and_params(const std::string& content)
{
    return begin_request(1) + stream_of(fastcgi::params, 1, content) +
           bytes_of({1, fastcgi::params, 1, "", 0});
}

// Refused: an error answer or a connection that is closed; never the deadline.
bool refused(const Reply& reply)
{
    if (reply.end == End::ended)
        return reply.protocol_status != fastcgi::request_complete || reply.status() >= 400;
    return reply.end != End::deadline;
}

Reply answer_to(const Server& server, const std::string& bytes)
{
    FastcgiClient client(server.address());
    client.send(bytes);
    return client.read_reply();
}

}  // namespace

TEST_CASE("hostile: an HTTP request is turned away and the server goes on", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    CHECK(client.wait_closed());
    CHECK(server.wait_log("not by HTTP"));
    CHECK(server.serves());
}

TEST_CASE("hostile: requests that are cut off anywhere leave the server whole", "[protocol]")
{
    const Server server;
    const std::string whole = server.post("act", "plain&echo", "body").bytes();
    for (std::size_t i = 1; i <= 40; ++i) {
        FastcgiClient client(server.address());
        client.send(whole.substr(0, whole.size() * i / 41));
    }
    CHECK(server.serves());
    CHECK(wait_for([&] { return server.programs().empty(); }));
}

TEST_CASE("hostile: PARAMS cut off at the end of a pair do not run the program", "[protocol]")
{
    const Server server;
    {
        FastcgiClient client(server.address());
        client.send(begin_request(1) +
                    stream_of(fastcgi::params, 1, pairs_of(marking(server).params)));
        client.half_close();
        CHECK(refused(client.read_reply()));
    }
    CHECK(server.serves());
    CHECK_FALSE(ran(server));
}

TEST_CASE("hostile: ABORT_REQUEST within PARAMS does not run the program", "[protocol]")
{
    const Server server;
    FastcgiClient client(server.address());
    client.send(begin_request(1) + stream_of(fastcgi::params, 1, pairs_of(marking(server).params)) +
                bytes_of({1, fastcgi::abort_request, 1, "", 0}));
    const Reply reply = client.read_reply();
    CHECK(reply.end != End::deadline);
    CHECK(reply.out.empty());
    CHECK(server.serves());
    CHECK_FALSE(ran(server));
}

TEST_CASE("hostile: a pair that claims more than the stream holds is refused", "[protocol]")
{
    const Server server;
    const std::string good = pairs_of(marking(server).params);
    const std::vector<std::string> tails{
        std::string("\x05\x05name", 6),                      // the value is missing
        std::string("\x84\x00", 2),                          // half a length
        std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8),  // both 2^31 - 1
        std::string("\xff\xff\xff\xfe\xff\xff\xff\xfe", 8),  // their sum overflows 32 bits
        std::string("\x80\x00\x00\x01\xff\xff\xff\xff"
                    "A",
                    9),  // one fits
    };
    for (const auto& tail : tails)
        CHECK(refused(answer_to(
            server, begin_and_params(good + tail) + bytes_of({1, fastcgi::std_in, 1, "", 0}))));
    CHECK_FALSE(ran(server));
    CHECK(server.serves());
}

TEST_CASE("hostile: a BEGIN_REQUEST of the wrong size is refused", "[protocol]")
{
    const Server server;
    for (const std::size_t size : {0, 1, 7, 9, 65535}) {
        std::string body(size, '\0');
        if (size > 1)
            body[1] = 1;
        const Request request = marking(server);
        const std::string rest = request.bytes().substr(16);
        CHECK(refused(answer_to(server, bytes_of({1, fastcgi::begin_request, 1, body, 0}) + rest)));
    }
    CHECK_FALSE(ran(server));
    CHECK(server.serves());
}

TEST_CASE("hostile: a request id of zero in BEGIN_REQUEST is refused", "[protocol]")
{
    const Server server;
    Request request = marking(server);
    request.id = 0;
    FastcgiClient client(server.address());
    client.send(request.bytes());
    client.half_close();
    CHECK(client.wait_closed());
    CHECK_FALSE(ran(server));
    CHECK(server.serves());
}

TEST_CASE("hostile: an empty PARAMS stream gets an error answer", "[protocol]")
{
    const Server server;
    const Reply reply =
        answer_to(server, begin_and_params("") + bytes_of({1, fastcgi::std_in, 1, "", 0}));
    REQUIRE(reply.end == End::ended);
    CHECK(reply.status() >= 400);
}

TEST_CASE("hostile: a head without end is cut off at max_params_size", "[protocol]")
{
    const Server server({.pool = "workers = 1\nmax_params_size = 64k\n"});
    REQUIRE(server.wait_workers(1));
    FastcgiClient client(server.address());
    std::string flood = begin_request(1);
    for (int i = 0; i < 4000; ++i)
        flood += stream_of(fastcgi::params, 1, pair_of("HTTP_X" + std::to_string(i), "value"));
    client.send(flood);
    CHECK(client.read_reply().status() == 431);
    CHECK(server.serves());
}

TEST_CASE("hostile: a value of 100 megabytes does not make the server grow", "[protocol]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const long before = most_resident_kilobytes(server.worker());
    FastcgiClient client(server.address());
    client.send(begin_request(1) + stream_of(fastcgi::params,
                                             1,
                                             std::string("\x01\x86\x40\x00\x00"
                                                         "A",
                                                         6)));
    const std::string piece = stream_of(fastcgi::params, 1, std::string(65535, 'v'), 65535);
    for (int i = 0; i < 1600 && client.send(piece); ++i)
        ;
    CHECK(client.read_reply().status() == 431);
    CHECK(server.serves());
    CHECK(most_resident_kilobytes(server.worker()) - before < 16000);
}

TEST_CASE("hostile: records inside STDIN are data and not protocol", "[protocol]")
{
    const Server server;
    const std::string inside = marking(server).bytes();
    const Reply reply = server.ask(server.post("act", "plain&echo", inside));
    REQUIRE(reply.complete());
    CHECK(reply.body() == inside);
    CHECK_FALSE(ran(server));
}

TEST_CASE("hostile: a body that the program does not read is never taken for a request",
          "[protocol]")
{
    const Server server;
    for (std::size_t shift = 0; shift < 16; ++shift) {
        Request request =
            server.post("act", "text=ignored", std::string(shift, 'x') + marking(server).bytes());
        request.keep = true;
        FastcgiClient client(server.address());
        client.send(request.bytes());
        REQUIRE(client.read_reply().body() == "ignored");
        client.half_close();
        CHECK(client.wait_closed());
    }
    CHECK_FALSE(ran(server));
}

TEST_CASE("hostile: bytes of a wrong version in the middle of the input end the request",
          "[protocol]")
{
    const Server server;
    const Request request = server.post("act", "plain&echo", "abc");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "abc") + std::string(16, '\x09'));
    const Reply reply = client.read_reply();
    CHECK(reply.end != End::deadline);
    CHECK_FALSE((reply.complete() && reply.status() == 200));
    CHECK(server.serves());
    CHECK(wait_for([&] { return server.programs().empty(); }));
}

TEST_CASE("hostile: 64 idle kept connections do not stop new requests", "[protocol]")
{
    const Server server;
    std::vector<FastcgiClient> idle;
    Request request = server.get("act", "text=kept");
    request.keep = true;
    for (int i = 0; i < 64; ++i) {
        idle.emplace_back(server.address());
        idle.back().send(request.bytes());
        REQUIRE(idle.back().read_reply().complete());
    }
    CHECK(server.serves());
}

TEST_CASE("hostile: 64 connections that never send a byte do not stop new requests", "[protocol]")
{
    const Server server;
    std::vector<FastcgiClient> silent;
    for (int i = 0; i < 64; ++i)
        silent.emplace_back(server.address());
    const Stopwatch watch;
    CHECK(server.serves());
    CHECK(watch.elapsed() < Milliseconds{3000});
}

TEST_CASE("hostile: 64 connections with half a head do not stop new requests", "[protocol]")
{
    const Server server;
    std::vector<FastcgiClient> half;
    const std::string head = server.get("act", "text=x").head();
    for (std::size_t i = 0; i < 64; ++i) {
        half.emplace_back(server.address());
        half.back().send(head.substr(0, head.size() * (i + 1) / 66));
    }
    const Stopwatch watch;
    CHECK(server.serves());
    CHECK(watch.elapsed() < Milliseconds{3000});
}
