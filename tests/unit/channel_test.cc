#include "server/channel.h"
#include "tests/catch.h"

#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

using server::Message;

TEST_CASE("channel: a log's descriptor arrives with its kind and close-on-exec", "[channel]")
{
    const auto [ours, theirs] = server::open_channel();
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    server::send(ours.get(), Message::access_log, write_end.get());
    write_end.reset();

    auto message = server::receive(theirs.get());
    REQUIRE(message);
    CHECK(message->kind == Message::access_log);
    CHECK((::fcntl(message->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    REQUIRE(::write(message->fd.get(), "x", 1) == 1);
    char byte = 0;
    REQUIRE(::read(read_end.get(), &byte, 1) == 1);
    CHECK(byte == 'x');
    CHECK_FALSE(server::receive(theirs.get()));
}

TEST_CASE("channel: a message without a descriptor or of an unknown kind is dropped", "[channel]")
{
    const auto [ours, theirs] = server::open_channel();
    REQUIRE(::send(ours.get(), "E", 1, 0) == 1);
    CHECK_FALSE(server::receive(theirs.get()));
    server::send(ours.get(), static_cast<Message>('?'), STDIN_FILENO);
    CHECK_FALSE(server::receive(theirs.get()));
}

TEST_CASE("channel: sending to a worker that is gone is harmless", "[channel]")
{
    auto [ours, theirs] = server::open_channel();
    theirs.reset();
    server::send(ours.get(), Message::error_log, STDERR_FILENO);
    CHECK_FALSE(server::receive(ours.get()));
}

TEST_CASE("channel: a worker that never listens does not block the arbiter", "[channel]")
{
    const auto [ours, theirs] = server::open_channel();
    for (int i = 0; i < 10'000; ++i)
        server::send(ours.get(), Message::error_log, STDERR_FILENO);
    CHECK(server::receive(theirs.get()));
}
