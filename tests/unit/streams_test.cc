// streams_test.cc - libfcgi's own functions on our streams, over a socket pair.
#include "fcgi/streams.h"
#include "tests/catch.h"
#include "tests/unit/web_server.h"

#include <fcgiapp.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using fcgi::StreamFailure;

const std::string some_pairs = wire::pair("REQUEST_METHOD", "POST");

std::string noise(std::size_t size)
{
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(i * 2'654'435'761u >> 24);
    return text;
}

// A request whose head has been read, its streams, and the test at the other end.
class Exchange : public WebServer, public fcgi::StreamOwner {
public:
    explicit Exchange(std::string_view body_records, const fcgi::StreamLimits& limits = {})
    {
        begin(some_pairs, body_records);
        streams.emplace(*client, limits, *this);
        in = streams->in();
        out = streams->out();
        err = streams->err();
    }

    bool take_output(std::string_view bytes, bool last) override
    {
        ++writes;
        if (refuse)
            return false;
        if (last)
            client->finish(bytes, static_cast<std::uint32_t>(streams->exit_status()));
        else
            client->write_stdout(bytes);
        return true;
    }
    void take_errors(std::string_view bytes) override { errors += bytes; }
    void stream_failed(StreamFailure why) override { failures.push_back(why); }
    bool alive() override
    {
        ++beats;
        return !stopping && beats != stop_at_beat;
    }

    std::optional<fcgi::Streams> streams;
    FCGX_Stream* in = nullptr;
    FCGX_Stream* out = nullptr;
    FCGX_Stream* err = nullptr;

    std::string errors;
    std::vector<StreamFailure> failures;
    int writes = 0;
    int beats = 0;
    bool refuse = false;
    bool stopping = false;
    int stop_at_beat = 0;
};

std::string body_of(std::string_view bytes, std::size_t record_size = 65'535)
{
    return wire::stream(wire::stdin_stream, 1, bytes, record_size, 3);
}

}  // namespace

// --- in -----------------------------------------------------------------------------------------

TEST_CASE("streams: a body is read to its end and not beyond", "[streams]")
{
    Exchange exchange(body_of("hello world", 3));
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 5, exchange.in) == 5);
    CHECK(std::string(buffer, 5) == "hello");
    CHECK(FCGX_HasSeenEOF(exchange.in) == 0);
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 6);
    CHECK(std::string(buffer, 6) == " world");
    CHECK(FCGX_HasSeenEOF(exchange.in) == EOF);
    CHECK(FCGX_GetError(exchange.in) == 0);
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 0);
    CHECK(FCGX_GetChar(exchange.in) == EOF);
    CHECK(FCGX_GetLine(buffer, 100, exchange.in) == nullptr);
    CHECK(FCGX_UnGetChar('x', exchange.in) == EOF);
    CHECK(exchange.failures.empty());
}

TEST_CASE("streams: an empty body is the end at once", "[streams]")
{
    Exchange exchange(body_of({}));
    CHECK(FCGX_GetChar(exchange.in) == EOF);
    CHECK(FCGX_GetError(exchange.in) == 0);
}

TEST_CASE("streams: bytes of all values are read one by one", "[streams]")
{
    std::string bytes;
    for (int i = 0; i < 256; ++i)
        bytes += static_cast<char>(i);
    Exchange exchange(body_of(bytes, 7));
    for (int i = 0; i < 256; ++i)
        CHECK(FCGX_GetChar(exchange.in) == i);
    CHECK(FCGX_GetChar(exchange.in) == EOF);
}

TEST_CASE("streams: a character can be put back after any read", "[streams]")
{
    const std::string text = "abcdefghijkl";
    Exchange exchange(body_of(text, 4));
    for (const char c : text) {
        REQUIRE(FCGX_GetChar(exchange.in) == c);
        REQUIRE(FCGX_UnGetChar('#', exchange.in) == '#');
        REQUIRE(FCGX_GetChar(exchange.in) == '#');
    }
    CHECK(FCGX_GetChar(exchange.in) == EOF);
}

TEST_CASE("streams: nothing can be put back before the first read", "[streams]")
{
    Exchange exchange(body_of("x"));
    CHECK(FCGX_UnGetChar('y', exchange.in) == EOF);
    CHECK(FCGX_GetChar(exchange.in) == 'x');
}

TEST_CASE("streams: lines are read across records", "[streams]")
{
    Exchange exchange(body_of("one\ntwo two\n\nlast", 2));
    char line[6];
    const auto next = [&] { return FCGX_GetLine(line, sizeof line, exchange.in); };
    REQUIRE(next() != nullptr);
    CHECK(std::string(line) == "one\n");
    REQUIRE(next() != nullptr);
    CHECK(std::string(line) == "two t");
    REQUIRE(next() != nullptr);
    CHECK(std::string(line) == "wo\n");
    REQUIRE(next() != nullptr);
    CHECK(std::string(line) == "\n");
    REQUIRE(next() != nullptr);
    CHECK(std::string(line) == "last");
    CHECK(next() == nullptr);
}

TEST_CASE("streams: a body that comes slowly is waited for", "[streams]")
{
    Exchange exchange(wire::record(wire::stdin_stream, 1, "first"));
    std::thread sender([&] {
        for (const char c : body_of("second")) {
            exchange.send({&c, 1});
            std::this_thread::sleep_for(1ms);
        }
    });
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 11);
    CHECK(std::string(buffer, 11) == "firstsecond");
    sender.join();
    CHECK(exchange.beats > 0);
}

TEST_CASE("streams: a body of many megabytes is read whole", "[streams]")
{
    const std::string body = noise(20 << 20);
    Exchange exchange({});
    std::thread sender([&] { exchange.send(body_of(body, 32'768)); });
    std::string got(body.size() + 1, '\0');
    const int size = FCGX_GetStr(got.data(), static_cast<int>(got.size()), exchange.in);
    sender.join();
    got.pop_back();
    CHECK(size == static_cast<int>(body.size()));
    CHECK((got == body));
    CHECK(FCGX_GetError(exchange.in) == 0);
}

TEST_CASE("streams: a client that leaves within the body is an error", "[streams]")
{
    Exchange exchange(wire::record(wire::stdin_stream, 1, "half"));
    exchange.peer.reset();
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 4);
    CHECK(FCGX_HasSeenEOF(exchange.in) == EOF);
    CHECK(FCGX_GetError(exchange.in) == ECONNRESET);
    CHECK(FCGX_PutS("reply", exchange.out) == -1);
    CHECK(FCGX_GetError(exchange.out) == EPIPE);
    CHECK(exchange.failures == std::vector{StreamFailure::client_left});
}

TEST_CASE("streams: an abort within the body is an error", "[streams]")
{
    Exchange exchange(wire::record(wire::stdin_stream, 1, "half") +
                      wire::record(wire::abort_request, 1));
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 4);
    CHECK(FCGX_GetError(exchange.in) == ECONNRESET);
    CHECK(exchange.failures == std::vector{StreamFailure::client_left});
}

TEST_CASE("streams: a body with a broken record is an error", "[streams]")
{
    Exchange exchange(wire::record(wire::stdin_stream, 1, "half") +
                      wire::record(wire::stdin_stream, 1, "x", 0, 0));
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 4);
    CHECK(FCGX_GetError(exchange.in) == FCGX_PROTOCOL_ERROR);
    CHECK(exchange.failures == std::vector{StreamFailure::protocol});
}

TEST_CASE("streams: a body that stops coming is an error after body_timeout", "[streams]")
{
    fcgi::StreamLimits limits;
    limits.body_timeout = 50ms;
    Exchange exchange(wire::record(wire::stdin_stream, 1, "half"), limits);
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 4);
    CHECK(FCGX_GetError(exchange.in) == ETIMEDOUT);
    CHECK(exchange.failures == std::vector{StreamFailure::body_timeout});
}

TEST_CASE("streams: a request past its deadline cannot read or write", "[streams]")
{
    fcgi::StreamLimits limits;
    limits.deadline = Clock::now() - 1ms;
    Exchange reads(body_of("body"), limits);
    CHECK(FCGX_GetChar(reads.in) == EOF);
    CHECK(FCGX_GetError(reads.in) == ETIMEDOUT);
    CHECK(reads.failures == std::vector{StreamFailure::deadline});
    Exchange writes(body_of("body"), limits);
    FCGX_PutS("x", writes.out);
    CHECK(FCGX_FFlush(writes.out) == -1);
    CHECK(writes.failures == std::vector{StreamFailure::deadline});
}

TEST_CASE("streams: an owner that stops ends reading and writing", "[streams]")
{
    Exchange reads(wire::record(wire::stdin_stream, 1, "half"));
    CHECK(FCGX_GetChar(reads.in) == 'h');
    reads.stopping = true;
    char buffer[100];
    CHECK(FCGX_GetStr(buffer, 100, reads.in) == 3);
    CHECK(FCGX_GetError(reads.in) == ECANCELED);
    CHECK(reads.failures == std::vector{StreamFailure::stopping});

    Exchange writes(body_of("body"));
    writes.stopping = true;
    FCGX_PutS("x", writes.out);
    CHECK(FCGX_FFlush(writes.out) == -1);
    CHECK(FCGX_GetError(writes.out) == ECANCELED);
    CHECK(writes.failures == std::vector{StreamFailure::stopping});
}

TEST_CASE("streams: what wakes the owner interrupts a wait", "[streams]")
{
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    fcgi::StreamLimits limits;
    limits.beat = 1h;
    limits.body_timeout = 1h;
    limits.wake = ends[0];
    Exchange exchange(wire::record(wire::stdin_stream, 1, "half"), limits);
    char buffer[4];
    CHECK(FCGX_GetStr(buffer, 4, exchange.in) == 4);
    exchange.stop_at_beat = exchange.beats + 2;  // the read that begins, and the wait in it
    REQUIRE(::write(ends[1], "!", 1) == 1);
    CHECK(FCGX_GetChar(exchange.in) == EOF);
    CHECK(exchange.failures == std::vector{StreamFailure::stopping});
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("streams: a body over the limit is an error", "[streams]")
{
    fcgi::StreamLimits limits;
    limits.max_body = 10;
    char buffer[100];
    Exchange enough(body_of("0123456789", 3), limits);
    CHECK(FCGX_GetStr(buffer, 100, enough.in) == 10);
    CHECK(FCGX_GetError(enough.in) == 0);
    Exchange exchange(body_of("0123456789a", 3), limits);
    CHECK(FCGX_GetStr(buffer, 100, exchange.in) == 9);
    CHECK(FCGX_GetError(exchange.in) == EFBIG);
    CHECK(exchange.failures == std::vector{StreamFailure::too_large});
}

TEST_CASE("streams: a closed in stream reads nothing more", "[streams]")
{
    Exchange exchange(body_of("body"));
    CHECK(FCGX_GetChar(exchange.in) == 'b');
    CHECK(FCGX_FClose(exchange.in) == 0);
    CHECK(FCGX_FClose(exchange.in) == 0);
    CHECK(FCGX_GetChar(exchange.in) == EOF);
    FCGX_PutS("reply", exchange.out);
    exchange.streams->close();
    CHECK(wire::decode(exchange.receive()).stream(wire::stdout_stream) == "reply");
}

// --- out ----------------------------------------------------------------------------------------

TEST_CASE("streams: a small reply leaves in one piece when the handler returns", "[streams]")
{
    Exchange exchange(body_of({}));
    CHECK(FCGX_PutS("Content-Type: text/plain\r\n\r\n", exchange.out) == 28);
    CHECK(FCGX_FPrintF(exchange.out, "%d %s", 42, "things") == 9);
    CHECK(FCGX_PutChar('!', exchange.out) == '!');
    CHECK(exchange.writes == 0);
    exchange.streams->close();
    CHECK(exchange.writes == 1);
    const auto reply = wire::decode(exchange.receive());
    CHECK(reply.complete());
    CHECK(reply.stream(wire::stdout_stream) == "Content-Type: text/plain\r\n\r\n42 things!");
}

TEST_CASE("streams: what is flushed reaches the client at once", "[streams]")
{
    Exchange exchange(body_of({}));
    FCGX_PutS("early", exchange.out);
    CHECK(FCGX_FFlush(exchange.out) == 0);
    char buffer[100];
    const ssize_t got = ::recv(exchange.peer.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    REQUIRE(got > 0);
    CHECK(wire::decode({buffer, static_cast<std::size_t>(got)}).stream(wire::stdout_stream) ==
          "early");
    CHECK(FCGX_FFlush(exchange.out) == 0);
    exchange.streams->close();
    CHECK(wire::decode(exchange.receive()).complete());
}

TEST_CASE("streams: a reply of many megabytes waits for its reader", "[streams]")
{
    const std::string body = noise(20 << 20);
    Exchange exchange(body_of({}));
    std::string got;
    std::thread reader([&] { got = exchange.receive(); });
    CHECK(FCGX_PutStr(body.data(), 10 << 20, exchange.out) == 10 << 20);
    CHECK(exchange.client->output_left() <= 2 * fcgi::max_content);
    CHECK(FCGX_PutStr(body.data() + (10 << 20), 10 << 20, exchange.out) == 10 << 20);
    exchange.streams->close();
    while (exchange.client->output_pending())
        exchange.client->flush();
    reader.join();
    const auto reply = wire::decode(got);
    CHECK(reply.complete());
    CHECK((reply.stream(wire::stdout_stream) == body));
}

TEST_CASE("streams: reading and writing by turns does not deadlock", "[streams]")
{
    const std::string body = noise(8 << 20);
    Exchange exchange({});
    std::string got;
    std::thread sender([&] { exchange.send(body_of(body)); });
    std::thread reader([&] { got = exchange.receive(); });
    std::vector<char> buffer(10'000);
    for (int size = 1; size > 0;) {
        size = FCGX_GetStr(buffer.data(), static_cast<int>(buffer.size()), exchange.in);
        CHECK(FCGX_PutStr(buffer.data(), size, exchange.out) == size);
    }
    exchange.streams->close();
    while (exchange.client->output_pending())
        exchange.client->flush();
    sender.join();
    reader.join();
    CHECK((wire::decode(got).stream(wire::stdout_stream) == body));
}

TEST_CASE("streams: a client that takes nothing is an error after send_timeout", "[streams]")
{
    fcgi::StreamLimits limits;
    limits.send_timeout = 50ms;
    Exchange exchange(body_of({}), limits);
    const std::string body(4 << 20, 'x');
    CHECK(FCGX_PutStr(body.data(), 4 << 20, exchange.out) == -1);
    CHECK(FCGX_GetError(exchange.out) == ETIMEDOUT);
    CHECK(FCGX_PutChar('x', exchange.out) == EOF);
    CHECK(FCGX_FFlush(exchange.out) == 0);  // as libfcgi has it for every closed stream
    CHECK(FCGX_FClose(exchange.out) == EOF);
    CHECK(exchange.failures == std::vector{StreamFailure::send_timeout});
}

TEST_CASE("streams: writing to a client that has left is an error", "[streams]")
{
    Exchange exchange(body_of({}));
    exchange.peer.reset();
    FCGX_PutS("x", exchange.out);
    CHECK(FCGX_FFlush(exchange.out) == -1);
    CHECK(FCGX_GetError(exchange.out) == EPIPE);
    CHECK(FCGX_PutS("more", exchange.out) == -1);
    CHECK(exchange.failures == std::vector{StreamFailure::client_left});
    exchange.streams->close();
    CHECK(exchange.writes == 1);
}

TEST_CASE("streams: with ignore_abort writing goes on without a client", "[streams]")
{
    fcgi::StreamLimits limits;
    limits.ignore_abort = true;
    Exchange exchange(wire::record(wire::stdin_stream, 1, "half"), limits);
    exchange.peer.reset();
    FCGX_PutS("x", exchange.out);
    CHECK(FCGX_FFlush(exchange.out) == 0);
    const std::string much(1 << 20, 'x');
    CHECK(FCGX_PutStr(much.data(), 1 << 20, exchange.out) == 1 << 20);
    CHECK(FCGX_GetError(exchange.out) == 0);
    CHECK(FCGX_GetChar(exchange.in) == EOF);
    CHECK(FCGX_GetError(exchange.in) == ECONNRESET);
    CHECK(exchange.failures == std::vector{StreamFailure::client_left});
}

TEST_CASE("streams: an owner that wants no more output stops the handler", "[streams]")
{
    Exchange exchange(body_of({}));
    exchange.refuse = true;
    FCGX_PutS("x", exchange.out);
    CHECK(FCGX_FFlush(exchange.out) == -1);
    CHECK(FCGX_PutS("y", exchange.out) == -1);
}

TEST_CASE("streams: closing out ends the reply at once and only once", "[streams]")
{
    Exchange exchange(body_of("late"));
    FCGX_PutS("reply", exchange.out);
    FCGX_SetExitStatus(3, exchange.out);
    CHECK(FCGX_FClose(exchange.out) == 0);
    const auto reply = wire::decode(exchange.receive());
    CHECK(reply.complete());
    CHECK(reply.stream(wire::stdout_stream) == "reply");
    CHECK(reply.app_status() == 3);
    CHECK(FCGX_FClose(exchange.out) == 0);
    CHECK(FCGX_PutS("more", exchange.out) == -1);
    exchange.streams->close();
    CHECK(exchange.writes == 1);
}

TEST_CASE("streams: the exit status is the one set last", "[streams]")
{
    Exchange exchange(body_of({}));
    CHECK(exchange.streams->exit_status() == 0);
    FCGX_SetExitStatus(7, exchange.out);
    CHECK(exchange.streams->exit_status() == 7);
    FCGX_SetExitStatus(9, exchange.in);
    CHECK(exchange.streams->exit_status() == 9);
}

TEST_CASE("streams: a discarded reply is not sent", "[streams]")
{
    Exchange exchange(body_of("body"));
    FCGX_PutS("half a reply", exchange.out);
    FCGX_PutS("a complaint", exchange.err);
    exchange.streams->discard();
    CHECK(exchange.writes == 0);
    CHECK(exchange.errors == "a complaint");
}

// --- err ----------------------------------------------------------------------------------------

TEST_CASE("streams: errors reach the owner when flushed and when full and at the end", "[streams]")
{
    Exchange exchange(body_of({}));
    FCGX_PutS("one\n", exchange.err);
    CHECK(exchange.errors.empty());
    CHECK(FCGX_FFlush(exchange.err) == 0);
    CHECK(exchange.errors == "one\n");
    const std::string much(100'000, 'e');
    CHECK(FCGX_PutStr(much.data(), 100'000, exchange.err) == 100'000);
    CHECK(exchange.errors.size() > 90'000);
    exchange.streams->close();
    CHECK((exchange.errors == "one\n" + much));
}

TEST_CASE("streams: closing err twice is harmless", "[streams]")
{
    Exchange exchange(body_of({}));
    FCGX_PutS("one", exchange.err);
    CHECK(FCGX_FClose(exchange.err) == 0);
    CHECK(FCGX_FClose(exchange.err) == 0);
    CHECK(FCGX_PutS("two", exchange.err) == -1);
    exchange.streams->close();
    CHECK(exchange.errors == "one");
}

// --- misuse -------------------------------------------------------------------------------------

TEST_CASE("streams: reading what is to be written and the other way round is refused", "[streams]")
{
    Exchange exchange(body_of("body"));
    char buffer[10];
    CHECK(FCGX_GetChar(exchange.out) == EOF);
    CHECK(FCGX_GetStr(buffer, 10, exchange.err) == 0);
    CHECK(FCGX_PutChar('x', exchange.in) == EOF);
    CHECK(FCGX_PutS("x", exchange.in) == -1);
    CHECK(FCGX_FFlush(exchange.in) == 0);
    CHECK(FCGX_GetChar(exchange.in) == 'b');
}

TEST_CASE("streams: there is no filter data for a responder", "[streams]")
{
    Exchange exchange(body_of("body"));
    while (FCGX_GetChar(exchange.in) != EOF)
        ;
    CHECK(FCGX_StartFilterData(exchange.in) == -1);
    CHECK(FCGX_GetError(exchange.in) == FCGX_CALL_SEQ_ERROR);
    CHECK(FCGX_GetChar(exchange.in) == EOF);
}
