#include "tests/system/support/fastcgi_client.h"

#include "tests/system/support/address.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

void Request::set(std::string_view name, std::string value)
{
    const auto found = std::find_if(
        params.begin(), params.end(), [&](const auto& pair) { return pair.first == name; });
    if (found != params.end())
        found->second = std::move(value);
    else
        params.emplace_back(name, std::move(value));
}

void Request::unset(std::string_view name)
{
    std::erase_if(params, [&](const auto& pair) { return pair.first == name; });
}

std::string Request::head() const
{
    return begin_request(id, keep, role) + stream_of(fastcgi::params, id, pairs_of(params)) +
           bytes_of({1, fastcgi::params, id, "", 0});
}

std::string Request::input() const
{
    return stream_of(fastcgi::std_in, id, body) + bytes_of({1, fastcgi::std_in, id, "", 0});
}

FastcgiClient::FastcgiClient(const std::string& address) : fd_(connect_to(address)) {}

FastcgiClient::FastcgiClient(FastcgiClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), inbox_(std::move(other.inbox_)),
      seen_(std::move(other.seen_)), eof_(other.eof_), reset_(other.reset_),
      holding_(other.holding_), since_(other.since_)
{
}

FastcgiClient::~FastcgiClient()
{
    close();
}

void FastcgiClient::close()
{
    if (fd_ >= 0)
        ::close(std::exchange(fd_, -1));
}

void FastcgiClient::half_close()
{
    ::shutdown(fd_, SHUT_WR);
}

void FastcgiClient::reset()
{
    const struct linger at_once {
        1, 0
    };
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

void FastcgiClient::receive()
{
    std::array<char, 65536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    const auto got = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0)
        inbox_.append(buffer.data(), static_cast<std::size_t>(got));
    else if (got == 0)
        eof_ = true;
    else if (errno == ECONNRESET || errno == EPIPE)
        reset_ = true;
}

// One round of poll: takes in what is there, sends what fits. False when nothing more can happen.
bool FastcgiClient::exchange(std::string_view& pending, Milliseconds patience)
{
    const bool reading = !holding_ && !closed();
    const short events =
        static_cast<short>((reading ? POLLIN : 0) | (pending.empty() ? 0 : POLLOUT));
    if (fd_ < 0 || events == 0)
        return false;
    struct pollfd poller {
        fd_, events, 0
    };
    if (::poll(&poller, 1, static_cast<int>(std::max(patience, Milliseconds{0}).count())) <= 0)
        return false;
    if (reading && (poller.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        receive();
    if (pending.empty())
        return true;
    const auto sent = ::send(fd_, pending.data(), pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        pending.remove_prefix(static_cast<std::size_t>(sent));
    return sent > 0 || errno == EAGAIN;
}

bool FastcgiClient::send(std::string_view bytes, Milliseconds patience)
{
    const Stopwatch watch;
    while (!bytes.empty())
        if (!exchange(bytes, patience - watch.elapsed()))
            return false;
    return true;
}

bool FastcgiClient::wait_readable(Milliseconds patience) const
{
    struct pollfd poller {
        fd_, POLLIN, 0
    };
    return ::poll(&poller, 1, static_cast<int>(patience.count())) == 1;
}

bool FastcgiClient::send_pieces(std::string_view bytes, std::size_t piece, Milliseconds pause)
{
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
        if (!send(bytes.substr(0, piece)))
            return false;
        if (pause.count() > 0)
            pause_for(pause);
    }
    return true;
}

std::optional<Record> FastcgiClient::read_record(Milliseconds patience)
{
    const Stopwatch watch;
    std::string_view nothing;
    for (;;) {
        if (auto record = parse_record(inbox_))
            return record;
        if (closed() || !exchange(nothing, patience - watch.elapsed()))
            return std::nullopt;
    }
}

namespace {

void take_end(Reply& reply, const Record& record)
{
    const std::string& body = record.content;
    if (body.size() != 8)
        throw ProtocolDefect("an END_REQUEST of the wrong size");
    reply.end = End::ended;
    reply.protocol_status = static_cast<std::uint8_t>(body[4]);
    for (std::size_t i = 0; i < 4; ++i)
        reply.app_status = reply.app_status << 8 | static_cast<unsigned char>(body[i]);
}

void take_record(Reply& reply, const Record& record, Milliseconds when)
{
    switch (record.type) {
    case fastcgi::std_out:
        if (reply.out_ended)
            throw ProtocolDefect("STDOUT after its end");
        reply.out_ended = record.content.empty();
        reply.out += record.content;
        reply.pieces.emplace_back(when, record.content);
        break;
    case fastcgi::std_err: reply.err += record.content; break;
    case fastcgi::end_request: take_end(reply, record); break;
    default: throw ProtocolDefect("a record of type " + std::to_string(record.type));
    }
}

}  // namespace

Reply FastcgiClient::read_reply(std::uint16_t id, Milliseconds patience)
{
    const Stopwatch watch;
    Reply reply;
    while (reply.end == End::deadline) {
        const auto record = read_record(patience - watch.elapsed());
        if (!record) {
            if (closed())
                reply.end = reset_ ? End::reset : End::closed;
            break;
        }
        reply.records.push_back(*record);
        if (record->version == 0) {
            reply.end = End::invalid;
            break;
        }
        if (record->version != 1 || record->id != id)
            throw ProtocolDefect("a record of another version or request");
        take_record(reply, *record, since_.elapsed());
    }
    if (reply.end != End::ended && reply.end != End::deadline && reply.end != End::invalid &&
        !inbox_.empty())
        throw ProtocolDefect("the connection ended within a record");
    return reply;
}

bool FastcgiClient::wait_for_output(std::string_view text, Milliseconds patience)
{
    const Stopwatch watch;
    while (seen_.find(text) == std::string::npos) {
        const auto record = read_record(patience - watch.elapsed());
        if (!record)
            return false;
        if (record->type == fastcgi::std_out)
            seen_ += record->content;
    }
    return true;
}

bool FastcgiClient::wait_closed(Milliseconds patience)
{
    const Stopwatch watch;
    std::string_view nothing;
    while (!closed()) {
        if (!exchange(nothing, patience - watch.elapsed()))
            return closed();
        inbox_.clear();
    }
    return true;
}

Reply ask(const std::string& address, const Request& request, Milliseconds patience)
{
    FastcgiClient client(address);
    client.send(request.bytes(), patience);
    return client.read_reply(request.id, patience);
}
