// connection_test.cc - a connection between two ends of a socket pair: the test is the web server.
#include "base/clock.h"
#include "fcgi/connection.h"
#include "tests/catch.h"
#include "tests/unit/wire.h"

#include <cstring>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace {

using namespace std::chrono_literals;

constexpr Duration patience{20'000};

struct Ends {
    UniqueFd server;
    UniqueFd client;
};

Ends unix_pair()
{
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Ends tcp_pair()
{
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener.get(), any, size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), any, &size) == 0);
    Ends ends;
    ends.client = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(ends.client.get(), any, size) == 0);
    ends.server = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(ends.server);
    return ends;
}

class Peer {
public:
    explicit Peer(Ends ends, fcgi::ConnectionLimits limits = {})
        : socket(std::move(ends.client)), connection(std::move(ends.server), limits)
    {
    }

    void send(std::string_view bytes)
    {
        REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                static_cast<ssize_t>(bytes.size()));
    }

    // One turn of a worker: poll and note. False when nothing happened for the time.
    bool turn(Duration wait = patience)
    {
        pollfd entry{connection.fd(), connection.poll_events(), 0};
        if (::poll(&entry, 1, static_cast<int>(wait.count())) <= 0)
            return false;
        connection.note_poll(entry.revents);
        return true;
    }

    template <class Condition>
    bool until(Condition condition)
    {
        const TimePoint deadline = Clock::now() + patience;
        while (!condition())
            if (!turn(1s) && Clock::now() > deadline)
                return false;
        return true;
    }

    // What has come back so far.
    std::string read()
    {
        char buffer[1 << 16];
        std::string all;
        for (;;) {
            const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (got <= 0)
                return all;
            all.append(buffer, static_cast<std::size_t>(got));
        }
    }

    // All that the connection has to say, however little the socket takes at once.
    std::string read_all()
    {
        std::string all = read();
        while (connection.output_pending() && !connection.gone()) {
            turn(10ms);
            all += read();
        }
        return all + read();
    }

    UniqueFd socket;
    fcgi::Connection connection;
};

const std::string some_pairs = wire::pair("REQUEST_METHOD", "GET");

std::string take_body(Peer& peer)
{
    std::string body;
    REQUIRE(peer.until([&] {
        while (!peer.connection.body().empty()) {
            body += peer.connection.body();
            peer.connection.consume(peer.connection.body().size());
        }
        return peer.connection.body_ended();
    }));
    return body;
}

}  // namespace

TEST_CASE("connection: a small request and its reply", "[connection]")
{
    Peer peer(unix_pair());
    CHECK(peer.connection.untouched());
    peer.send(wire::request(3, some_pairs, "body"));
    REQUIRE(peer.turn());
    CHECK_FALSE(peer.connection.untouched());
    CHECK(peer.connection.head_complete());
    CHECK(peer.connection.params().get("REQUEST_METHOD") == "GET");
    CHECK(take_body(peer) == "body");

    peer.connection.finish("Status: 200\r\n\r\nhello", 7);
    CHECK_FALSE(peer.connection.output_pending());
    const auto reply = wire::decode(peer.read());
    CHECK(reply.complete());
    CHECK(reply.app_status() == 7);
    REQUIRE(reply.records.size() == 3);
    CHECK(reply.records[0].content == "Status: 200\r\n\r\nhello");
    CHECK(reply.records[1].type == wire::stdout_stream);
    CHECK(reply.records[1].content.empty());
    for (const auto& record : reply.records)
        CHECK(record.id == 3);
}

TEST_CASE("connection: a request that comes byte by byte is served", "[connection]")
{
    Peer peer(unix_pair());
    const std::string bytes = wire::request(1, some_pairs, "body");
    std::string body;
    for (const char byte : bytes) {
        peer.send({&byte, 1});
        REQUIRE(peer.turn());
        body += peer.connection.body();
        peer.connection.consume(peer.connection.body().size());
    }
    CHECK(peer.connection.head_complete());
    CHECK(peer.connection.body_ended());
    CHECK(body == "body");
}

TEST_CASE("connection: a body is not read ahead of its consumer", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs) + wire::record(wire::stdin_stream, 1, "first"));
    REQUIRE(peer.turn());
    REQUIRE(peer.connection.body() == "first");
    CHECK_FALSE(peer.connection.wants_input());
    peer.send(wire::record(wire::stdin_stream, 1, "second") + wire::record(wire::stdin_stream, 1));
    peer.connection.receive();
    CHECK(peer.connection.body() == "first");
    CHECK((peer.connection.poll_events() & POLLIN) == 0);
    peer.connection.consume(2);
    CHECK(peer.connection.body() == "rst");
    peer.connection.consume(3);
    CHECK(take_body(peer) == "second");
}

TEST_CASE("connection: a body of a few megabytes arrives whole", "[connection]")
{
    Peer peer(unix_pair());
    std::string body(3 << 20, '\0');
    for (std::size_t i = 0; i < body.size(); ++i)
        body[i] = static_cast<char>(i * 2'654'435'761u >> 24);
    const std::string bytes = wire::request(1, some_pairs, body);
    std::size_t sent = 0;
    std::string got;
    REQUIRE(peer.until([&] {
        const ssize_t more = ::send(peer.socket.get(),
                                    bytes.data() + sent,
                                    bytes.size() - sent,
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += more > 0 ? static_cast<std::size_t>(more) : 0;
        while (!peer.connection.body().empty()) {
            got += peer.connection.body();
            peer.connection.consume(peer.connection.body().size());
        }
        return peer.connection.body_ended();
    }));
    CHECK((got == body));
}

// --- replies ------------------------------------------------------------------------------------

TEST_CASE("connection: a reply larger than the socket takes is queued and arrives", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, {}));
    REQUIRE(peer.turn());
    std::string sent;
    while (!peer.connection.output_pending()) {
        const std::string piece(100'000, static_cast<char>('a' + sent.size() % 23));
        peer.connection.write_stdout(piece);
        sent += piece;
    }
    CHECK((peer.connection.poll_events() & POLLOUT) != 0);
    peer.connection.write_stderr("a complaint\n");
    peer.connection.finish("the end", 0);
    const auto reply = wire::decode(peer.read_all());
    CHECK(reply.complete());
    CHECK((reply.stream(wire::stdout_stream) == sent + "the end"));
    CHECK(reply.stream(wire::stderr_stream) == "a complaint\n");
    CHECK_FALSE(peer.connection.output_pending());
}

TEST_CASE("connection: writing while the queue drains keeps the order", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, {}));
    REQUIRE(peer.turn());
    std::string sent;
    std::string got;
    char buffer[10'000];
    for (int i = 0; i < 400; ++i) {
        const std::string piece = std::to_string(i) + std::string(5'000, 'x');
        peer.connection.write_stdout(piece);
        sent += piece;
        // Reads less than is written for a while, then more.
        for (int n = 0; n < (i < 200 ? i % 2 : 2); ++n) {
            const ssize_t more = ::recv(peer.socket.get(), buffer, sizeof buffer / 2, MSG_DONTWAIT);
            got.append(buffer, more > 0 ? static_cast<std::size_t>(more) : 0);
        }
    }
    peer.connection.finish({}, 0);
    const auto reply = wire::decode(got + peer.read_all());
    CHECK(reply.complete());
    CHECK((reply.stream(wire::stdout_stream) == sent));
}

TEST_CASE("connection: what is queued goes out with the end and not before", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, {}));
    REQUIRE(peer.turn());
    const std::string large(100'000, 'l');
    peer.connection.write_stdout("first ");
    peer.connection.queue_stdout(large);
    CHECK(wire::decode(peer.read()).stream(wire::stdout_stream) == "first ");
    peer.connection.finish({}, 3);
    const auto reply = wire::decode(peer.read_all());
    CHECK(reply.complete());
    CHECK(reply.app_status() == 3);
    CHECK((reply.stream(wire::stdout_stream) == large));
}

TEST_CASE("connection: a last piece of any size ends the reply", "[connection]")
{
    for (const std::size_t size : {0u, 1u, 7u, 8u, 65'527u, 65'528u, 65'529u, 200'000u}) {
        CAPTURE(size);
        Peer peer(unix_pair());
        peer.send(wire::request(65'535, some_pairs, {}));
        REQUIRE(peer.turn());
        peer.connection.finish(std::string(size, 'z'), 1);
        const auto reply = wire::decode(peer.read_all());
        CHECK(reply.complete());
        CHECK(reply.stream(wire::stdout_stream).size() == size);
        CHECK(reply.app_status() == 1);
    }
}

TEST_CASE("connection: an aborted reply cannot be taken for a complete one", "[connection]")
{
    for (const std::size_t size : {0u, 10u, 3'000'000u}) {
        CAPTURE(size);
        Peer peer(unix_pair());
        peer.send(wire::request(1, some_pairs, {}));
        REQUIRE(peer.turn());
        peer.connection.write_stdout("Status: 200\r\n\r\n" + std::string(size, 'x'));
        peer.connection.abort();
        const auto reply = wire::decode(peer.read_all());
        CHECK_FALSE(reply.broken.empty());
        CHECK(reply.protocol_status() == -1);
        // The broken record stands where a record begins, so all that was written counts.
        CHECK(reply.stream(wire::stdout_stream).size() == 15 + size);
    }
}

// --- the web server leaves ----------------------------------------------------------------------

TEST_CASE("connection: a closed unix socket is noticed while a body waits", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs) + wire::record(wire::stdin_stream, 1, "first"));
    REQUIRE(peer.turn());
    peer.socket.reset();
    REQUIRE(peer.turn());
    CHECK(peer.connection.gone());
    CHECK(peer.connection.body_ended());
}

TEST_CASE("connection: a closed TCP connection is noticed once the body is read", "[connection]")
{
    Peer peer(tcp_pair(), {.tcp = true});
    peer.send(wire::request(1, some_pairs, "body"));
    REQUIRE(peer.until([&] { return !peer.connection.body().empty(); }));
    peer.connection.consume(4);
    CHECK_FALSE(peer.connection.gone());
    peer.socket.reset();
    CHECK(peer.until([&] { return peer.connection.gone(); }));
}

TEST_CASE("connection: a half-closed unix socket gets its reply", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, "body"));
    ::shutdown(peer.socket.get(), SHUT_WR);
    CHECK(take_body(peer) == "body");
    while (peer.turn(0ms) && !peer.connection.gone() && peer.connection.poll_events() != 0)
        ;
    CHECK_FALSE(peer.connection.gone());
    // What is known already must not wake the worker again and again.
    CHECK_FALSE(peer.turn(0ms));
    peer.connection.finish("reply", 0);
    CHECK(wire::decode(peer.read_all()).complete());
}

TEST_CASE("connection: a body that is cut off is no complete body", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs) + wire::record(wire::stdin_stream, 1, "half"));
    ::shutdown(peer.socket.get(), SHUT_WR);
    REQUIRE(peer.until([&] { return !peer.connection.body().empty(); }));
    CHECK(peer.connection.body() == "half");
    peer.connection.consume(4);
    CHECK(peer.until([&] { return peer.connection.gone(); }));
}

TEST_CASE("connection: a peer that has left is still read to the end", "[connection]")
{
    const std::string body(100'000, 'b');
    for (const bool whole : {true, false}) {
        Peer peer(unix_pair());
        const std::string request = wire::request(1, some_pairs, body);
        peer.send(std::string_view(request).substr(0, request.size() - (whole ? 0 : 8)));
        peer.socket.reset();
        std::size_t got = 0;
        for (int i = 0; i < 100 && !peer.connection.body_cut() && !peer.connection.body_complete();
             ++i) {
            peer.turn();
            while (!peer.connection.body().empty()) {
                CHECK_FALSE(peer.connection.body_cut());
                got += peer.connection.body().size();
                peer.connection.consume(peer.connection.body().size());
            }
            peer.connection.receive();
        }
        CHECK(got == body.size());
        CHECK(peer.connection.gone());
        CHECK(peer.connection.body_complete() == whole);
        CHECK(peer.connection.body_cut() != whole);
    }
}

TEST_CASE("connection: a peer that leaves within the head is gone", "[connection]")
{
    const std::string head = wire::head(1, some_pairs);
    for (std::size_t size = 0; size < head.size(); ++size) {
        Peer peer(unix_pair());
        peer.send(std::string_view(head).substr(0, size));
        ::shutdown(peer.socket.get(), SHUT_WR);
        CHECK(peer.until([&] { return peer.connection.gone(); }));
        CHECK_FALSE(peer.connection.head_complete());
    }
}

TEST_CASE("connection: writing to a peer that has left is noticed and harmless", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, {}));
    REQUIRE(peer.turn());
    peer.socket.reset();
    peer.connection.write_stdout("x");
    CHECK(peer.connection.gone());
    CHECK_FALSE(peer.connection.output_pending());
    peer.connection.write_stdout(std::string(1 << 20, 'x'));
    peer.connection.finish("y", 0);
    peer.connection.abort();
    CHECK_FALSE(peer.connection.output_pending());
    CHECK_FALSE(peer.connection.input_left());
}

TEST_CASE("connection: an abort is seen while the reply is being written", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, "body"));
    CHECK(take_body(peer) == "body");
    peer.connection.write_stdout("some");
    peer.send(wire::record(wire::abort_request, 1));
    REQUIRE(peer.turn());
    CHECK(peer.connection.aborted());
    CHECK_FALSE(peer.connection.gone());
    CHECK_FALSE(peer.connection.body_cut());
}

TEST_CASE("connection: an abort within the body cuts it, whatever follows", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs) + wire::record(wire::abort_request, 1) +
              wire::record(wire::stdin_stream, 1));
    REQUIRE(peer.turn());
    CHECK(peer.connection.aborted());
    CHECK(peer.connection.body_cut());
}

TEST_CASE("connection: an abort within the head is answered and ends the connection",
          "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::begin(4) + wire::record(wire::abort_request, 4) +
              wire::stream(wire::params, 4, some_pairs));
    REQUIRE(peer.turn());
    CHECK(peer.connection.refused());
    CHECK_FALSE(peer.connection.head_complete());
    const auto reply = wire::decode(peer.read());
    CHECK(reply.complete());
    REQUIRE(reply.records.size() == 1);
    CHECK(reply.records[0].id == 4);
}

// --- what is no request -------------------------------------------------------------------------

TEST_CASE("connection: GET_VALUES alone is answered", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::record(wire::get_values, 0, wire::pair("FCGI_MAX_REQS", "")));
    REQUIRE(peer.turn());
    CHECK(peer.connection.untouched());
    const auto reply = wire::decode(peer.read());
    REQUIRE(reply.records.size() == 1);
    CHECK(reply.records[0].content == wire::pair("FCGI_MAX_REQS", "1"));
    peer.send(wire::request(1, some_pairs, {}));
    REQUIRE(peer.turn());
    CHECK(peer.connection.head_complete());
}

TEST_CASE("connection: an answer goes out between the records of a reply", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs));
    REQUIRE(peer.turn());
    peer.connection.write_stdout(std::string(3'000'000, 'x'));
    REQUIRE(peer.connection.output_pending());
    peer.send(wire::record(wire::get_values, 0) + wire::begin(2) + wire::record(42, 0));
    REQUIRE(peer.turn());
    peer.connection.finish("end", 0);
    const auto reply = wire::decode(peer.read_all());
    CHECK(reply.complete());
    CHECK(reply.stream(wire::stdout_stream).size() == 3'000'003);
    CHECK(reply.records.size() == 46 + 1 + 3 + 2);  // the body, "end", the answers, both ends
}

TEST_CASE("connection: an unknown role is refused", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::begin(1, false, 3) + wire::stream(wire::params, 1, some_pairs));
    REQUIRE(peer.turn());
    CHECK(peer.connection.refused());
    CHECK_FALSE(peer.connection.head_complete());
    CHECK(wire::decode(peer.read()).protocol_status() == wire::unknown_role);
}

TEST_CASE("connection: nothing is served on a connection that was refused", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::begin(1, false, 3) + wire::request(2, some_pairs, {}));
    REQUIRE(peer.turn());
    CHECK(peer.connection.refused());
    CHECK_FALSE(peer.connection.head_complete());
}

TEST_CASE("connection: bytes that are no FastCGI are an error and end the reading", "[connection]")
{
    Peer peer(unix_pair());
    peer.send("GET / HTTP/1.0\r\n\r\n");
    REQUIRE(peer.turn());
    CHECK_FALSE(peer.connection.error().empty());
    CHECK_FALSE(peer.connection.wants_input());
    CHECK_FALSE(peer.connection.head_complete());
}

TEST_CASE("connection: a body before an error is still handed out", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs) + wire::record(wire::stdin_stream, 1, "body") +
              wire::record(wire::stdin_stream, 1, "x", 0, 9));
    REQUIRE(peer.turn());
    CHECK(peer.connection.error().empty());
    CHECK(peer.connection.body() == "body");
    peer.connection.consume(4);
    CHECK_FALSE(peer.connection.error().empty());
}

TEST_CASE("connection: a peer that asks and never reads cannot fill the memory", "[connection]")
{
    Peer peer(unix_pair());
    std::string flood;
    while (flood.size() < 60'000)
        flood += wire::record(99, 0);
    for (int i = 0; i < 200 && peer.connection.error().empty(); ++i) {
        (void)::send(peer.socket.get(), flood.data(), flood.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (!peer.turn(0ms))
            break;
    }
    CHECK_FALSE(peer.connection.error().empty());
}

// --- the end ------------------------------------------------------------------------------------

TEST_CASE("connection: a reply survives input that was never read", "[connection]")
{
    Peer peer(tcp_pair(), {.tcp = true});
    const std::string bytes = wire::head(1, some_pairs) +
                              wire::record(wire::stdin_stream, 1, std::string(60'000, 'b')) +
                              wire::record(wire::stdin_stream, 1, std::string(60'000, 'c'));
    peer.send(bytes);
    REQUIRE(peer.until([&] { return peer.connection.head_complete(); }));
    peer.connection.finish("an early reply", 0);
    REQUIRE(peer.connection.input_left());
    peer.connection.shut_down();
    std::string got;
    bool closed = false;
    REQUIRE(peer.until([&] {
        got += peer.read();
        if (got.find("an early reply") != std::string::npos)
            ::shutdown(peer.socket.get(), SHUT_WR);
        closed = closed || peer.connection.drain();
        return closed;
    }));
    CHECK(wire::decode(got).complete());
}

TEST_CASE("connection: a request read to its end needs no draining", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::request(1, some_pairs, {}));
    REQUIRE(peer.turn());
    peer.connection.finish("reply", 0);
    CHECK_FALSE(peer.connection.input_left());
}

TEST_CASE("connection: draining tells when the peer has closed and not before", "[connection]")
{
    Peer peer(unix_pair());
    peer.send(wire::head(1, some_pairs));
    REQUIRE(peer.turn());
    peer.connection.finish("reply", 0);
    REQUIRE(peer.connection.input_left());
    peer.connection.shut_down();
    CHECK_FALSE(peer.connection.drain());
    peer.send(std::string(10'000, 'x'));
    CHECK_FALSE(peer.connection.drain());
    peer.socket.reset();
    CHECK(peer.connection.drain());
}
