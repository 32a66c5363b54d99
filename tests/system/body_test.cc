// body_test.cc - request and reply bodies: exact, in both directions at once, in bounded memory.
// Source   RFC 3875 sections 4.2 and 6.3; FastCGI specification 1.0 section 6.2; Apache PR 31247.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <random>
#include <string>

namespace {

constexpr std::size_t megabyte = 1 << 20;

std::string random_bytes(std::size_t size)
{
    std::mt19937 random(42);  // NOLINT(cert-msc51-cpp): the same bytes in each run
    std::string bytes(size, '\0');
    for (auto& byte : bytes)
        byte = static_cast<char>(random());
    return bytes;
}

// What the step fill=SIZE of `act` writes.
std::string pattern(std::size_t size)
{
    std::string block(65536, '\0');
    for (std::size_t i = 0; i < block.size(); ++i)
        block[i] = static_cast<char>(i * 31 + i / 256);
    std::string bytes;
    while (bytes.size() < size)
        bytes += block;
    bytes.resize(size);
    return bytes;
}

// Equal without printing megabytes when it is not.
bool same(const std::string& a, const std::string& b)
{
    return a == b;
}

}  // namespace

TEST_CASE("body: a small POST is echoed", "[body]")
{
    const Server server;
    CHECK(server.ask(server.post("act", "plain&echo", "name=value")).body() == "name=value");
}

TEST_CASE("body: a POST of length zero has an empty input", "[body]")
{
    const Server server;
    CHECK(server.ask(server.post("act", "plain&count", "")).body() == "0");
}

TEST_CASE("body: the input of a GET is at its end", "[body]")
{
    const Server server;
    CHECK(server.act("plain&count").body() == "0");
}

TEST_CASE("body: a megabyte of random bytes is echoed exactly", "[body]")
{
    const Server server;
    const std::string bytes = random_bytes(megabyte);
    const Reply reply = server.ask(server.post("act", "plain&echo", bytes));
    REQUIRE(reply.complete());
    CHECK(same(reply.body(), bytes));
}

TEST_CASE("body: 8 megabytes pass through a program that copies as it reads", "[body]")
{
    const Server server;
    const std::string bytes = random_bytes(8 * megabyte);
    const Reply reply = server.ask(server.post("act", "plain&echo", bytes));
    REQUIRE(reply.complete());
    CHECK(same(reply.body(), bytes));
}

TEST_CASE("body: a client that reads only after it has sent everything is no deadlock", "[body]")
{
    const Server server;
    const std::string bytes = random_bytes(65536);
    FastcgiClient client(server.address());
    client.hold_reading(true);
    REQUIRE(client.send(server.post("act", "plain&echo", bytes).bytes()));
    client.hold_reading(false);
    CHECK(same(client.read_reply().body(), bytes));
}

TEST_CASE("body: a program that writes 300 KB before it reads 1 MB is no deadlock", "[body]")
{
    const Server server;
    const Reply reply =
        server.ask(server.post("act", "plain&fill=300000&count", random_bytes(megabyte)));
    REQUIRE(reply.complete());
    CHECK(same(reply.body(), pattern(300000) + "1048576"));
}

TEST_CASE("body: a program that never reads a megabyte is answered all the same", "[body]")
{
    const Server server;
    const Reply reply = server.ask(server.post("act", "text=unread", std::string(megabyte, 'b')));
    REQUIRE(reply.complete());
    CHECK(reply.status() == 200);
    CHECK(reply.body() == "unread");
}

TEST_CASE("body: a program that reads ten bytes of a megabyte is answered all the same", "[body]")
{
    const Server server;
    const Reply reply =
        server.ask(server.post("act", "read=10&text=enough", std::string(megabyte, 'b')));
    REQUIRE(reply.complete());
    CHECK(reply.body() == "enough");
}

TEST_CASE("body: a program that closes its input at once is answered all the same", "[body]")
{
    const Server server;
    const Reply reply =
        server.ask(server.post("act", "close=0&sleep=30&text=closed", std::string(megabyte, 'b')));
    REQUIRE(reply.complete());
    CHECK(reply.body() == "closed");
}

TEST_CASE("body: input that is shorter than CONTENT_LENGTH ends and does not hang", "[body]")
{
    const Server server;
    Request request = server.post("act", "plain&count", "12345");
    request.set("CONTENT_LENGTH", "100");
    const Reply reply = server.ask(request);
    REQUIRE(reply.end != End::deadline);
    if (reply.complete() && reply.status() == 200)
        CHECK(reply.body() == "5");
    CHECK(server.serves());
}

TEST_CASE("body: input that is longer than CONTENT_LENGTH does no harm", "[body]")
{
    const Server server;
    Request request = server.post("act", "plain&count", "1234567890");
    request.set("CONTENT_LENGTH", "4");
    const Reply reply = server.ask(request);
    REQUIRE(reply.complete());
    CHECK((reply.status() == 400 || std::stoi(reply.body()) >= 4));
    CHECK(server.serves());
}

TEST_CASE("body: a CONTENT_LENGTH that is no number is 400", "[body]")
{
    const Server server;
    for (const auto* length : {"abc", "-5", "5x", "99999999999999999999999"}) {
        Request request = server.post("act", "text=x", "12345");
        request.set("CONTENT_LENGTH", length);
        CHECK(server.ask(request).status() == 400);
    }
}

TEST_CASE("body: without CONTENT_LENGTH the program reads to the end", "[body]")
{
    const Server server;
    Request request = server.post("act", "plain&echo", "chunked upload");
    request.unset("CONTENT_LENGTH");
    CHECK(server.ask(request).body() == "chunked upload");
}

TEST_CASE("body: a body over max_body_size is 413 and the program does not run", "[body]")
{
    const Server server({.pool = "max_body_size = 10k\n"});
    const std::string mark = server.directory() / "ran";
    const std::string steps = "write=" + encode(mark) + "&plain&count";
    CHECK(server.ask(server.post("act", steps, std::string(10241, 'b'))).status() == 413);
    CHECK_FALSE(exists(mark));
    CHECK(server.ask(server.post("act", steps, std::string(10240, 'b'))).body() == "10240");
}

TEST_CASE("body: a body over max_body_size without CONTENT_LENGTH is refused", "[body]")
{
    const Server server({.pool = "max_body_size = 10k\n"});
    Request request = server.post("act", "drain&text=x", std::string(megabyte, 'b'));
    request.unset("CONTENT_LENGTH");
    const Reply reply = server.ask(request);
    CHECK(reply.end != End::deadline);
    if (reply.end == End::ended)
        CHECK(reply.status() == 413);
    CHECK(server.serves());
}

TEST_CASE("body: the program sees the first part before the rest was sent", "[body]")
{
    const Server server;
    Request request = server.post("act", "plain&read=5&out=seen&count", "");
    request.set("CONTENT_LENGTH", "10");
    FastcgiClient client(server.address());
    client.send(request.head() + stream_of(fastcgi::std_in, 1, "first"));
    CHECK(client.wait_for_output("seen"));
    client.send(stream_of(fastcgi::std_in, 1, "later") + bytes_of({1, fastcgi::std_in, 1, "", 0}));
    CHECK(client.wait_for_output("5"));
}

TEST_CASE("body: a reply of 16 megabytes is exact", "[body]")
{
    const Server server;
    const Reply reply = server.act("plain&fill=16777216");
    REQUIRE(reply.complete());
    CHECK(same(reply.body(), pattern(16 * megabyte)));
}

TEST_CASE("body: output leaves while the program goes on", "[body]")
{
    const Server server;
    const std::string mark = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(server.get("act", "plain&out=one&wait=" + encode(mark) + "&out=two").bytes());
    CHECK(client.wait_for_output("one"));
    write_file(mark, "");
    CHECK(client.wait_for_output("two"));
}

TEST_CASE("body: a reader that stops does not stop other requests", "[body]")
{
    const Server server;
    FastcgiClient stalled(server.address());
    stalled.hold_reading(true);
    stalled.send(server.get("act", "plain&fill=67108864").bytes());
    REQUIRE(wait_for([&] { return !server.programs().empty(); }));
    for (int i = 0; i < 5; ++i)
        CHECK(server.serves());
}

TEST_CASE("body: a stalled reader does not make the server grow", "[body]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const long before = resident_kilobytes(server.worker());
    FastcgiClient stalled(server.address());
    stalled.hold_reading(true);
    stalled.send(server.get("act", "plain&fill=67108864").bytes());
    REQUIRE(stalled.wait_readable());
    REQUIRE(wait_asleep({server.worker()}));
    CHECK(resident_kilobytes(server.worker()) - before < 8192);
}

TEST_CASE("body: an upload that nobody reads does not make the server grow", "[body]")
{
    const Server server({.pool = "workers = 1\n"});
    REQUIRE(server.serves());
    const long before = resident_kilobytes(server.worker());
    FastcgiClient client(server.address());
    Request request = server.post("act", "sleep=60000", "");
    request.set("CONTENT_LENGTH", "67108864");
    client.send(request.head());
    REQUIRE(wait_for([&] { return !server.programs().empty(); }));
    CHECK_FALSE(client.send(stream_of(fastcgi::std_in, 1, std::string(64 * megabyte, 'b')),
                            Milliseconds{500}));
    REQUIRE(wait_asleep({server.worker()}));
    CHECK(resident_kilobytes(server.worker()) - before < 8192);
}
