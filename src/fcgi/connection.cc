#include "fcgi/connection.h"

#include <algorithm>
#include <cerrno>

#include <fastcgi.h>
#include <poll.h>
#include <sys/socket.h>

namespace fcgi {

namespace {

// One read takes a whole record of the largest size that web servers send.
constexpr std::size_t buffer_size = 64 << 10;

// Answers to management records that wait for the peer to read them.
constexpr std::size_t max_answers = 64 << 10;

// How much drain() drops in one call, so that a flood cannot hold the worker.
constexpr int max_drain_reads = 16;

constexpr char zeros[FCGI_HEADER_LEN] = {};

iovec piece(const void* data, std::size_t size)
{
    return {const_cast<void*>(data), size};
}

bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

Connection::Connection(UniqueFd socket, const ConnectionLimits& limits)
    : socket_(std::move(socket)), tcp_(limits.tcp),
      parser_(limits.max_params, limits.max_connections)
{
}

void Connection::receive()
{
    if (!wants_input())
        return;
    if (!buffer_)
        buffer_ = std::make_unique_for_overwrite<char[]>(buffer_size);
    const ssize_t got = ::recv(fd(), buffer_.get(), buffer_size, MSG_DONTWAIT);
    if (got > 0) {
        input_ = {buffer_.get(), static_cast<std::size_t>(got)};
        parse();
    } else if (got == 0) {
        // Only who has sent a whole request may have shut down the sending side on purpose.
        eof_ = true;
        gone_ = gone_ || tcp_ || !body_ended_;
    } else if (!would_block(errno)) {
        gone_ = eof_ = true;
    }
}

short Connection::poll_events() const
{
    // POLLRDHUP would be reported again and again once it is known, and POLLHUP needs no asking.
    const bool ended = half_closed_ || eof_;
    int events = ended ? 0 : POLLRDHUP;
    if (wants_input())
        events |= POLLIN;
    if (output_pending())
        events |= POLLOUT;
    return static_cast<short>(events);
}

void Connection::note_poll(short revents)
{
    if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        gone_ = true;
    // On a unix socket a half-closed peer is told apart from one that has left; on TCP it is not,
    // and web servers never half-close.
    if ((revents & POLLRDHUP) != 0) {
        half_closed_ = true;
        gone_ = gone_ || tcp_;
    }
    if ((revents & POLLOUT) != 0)
        flush();
    if ((revents & POLLIN) != 0)
        receive();
}

void Connection::parse()
{
    while (body_.empty()) {
        const Event event = parser_.next(input_);
        switch (event.kind) {
        case Event::Kind::more: return;
        case Event::Kind::head: head_ = true; break;
        case Event::Kind::body: body_ = event.bytes; break;
        case Event::Kind::body_end: body_ended_ = true; break;
        case Event::Kind::aborted: note_abort(); break;
        case Event::Kind::refused:
            answer(event.bytes);
            refused_ = true;
            input_ = {};
            return;
        case Event::Kind::reply: answer(event.bytes); break;
        case Event::Kind::error: fail(event.bytes); return;
        }
    }
}

// A peer that asks on and on and does not read the answers must not fill the memory with them.
void Connection::answer(std::string_view record)
{
    if (!output_pending())
        answers_left_ = 0;
    answers_left_ += record.size();
    if (answers_left_ > max_answers) {
        fail("the answers to management records are not read");
        return;
    }
    queue_.append(record);
    flush();
}

void Connection::note_abort()
{
    aborted_ = true;
    cut_ = cut_ || !body_ended_;
    if (head_)
        return;  // the handler's business
    append_end_request(queue_, parser_.request_id(), 0, FCGI_REQUEST_COMPLETE);
    flush();
    refused_ = true;
    input_ = {};
}

void Connection::consume(std::size_t bytes)
{
    body_.remove_prefix(bytes);
    if (body_.empty())
        parse();
}

std::size_t Connection::drop_body()
{
    std::size_t dropped = 0;
    while (!body_.empty()) {
        dropped += body_.size();
        consume(body_.size());
    }
    return dropped;
}

void Connection::fail(std::string_view reason)
{
    error_ = reason;
    input_ = {};
}

void Connection::write_stdout(std::string_view bytes)
{
    append_stream(FCGI_STDOUT, bytes);
}

void Connection::queue_stdout(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::string_view content = bytes.substr(0, max_content);
        append_record(queue_, FCGI_STDOUT, parser_.request_id(), content);
        bytes.remove_prefix(content.size());
    }
}

void Connection::write_stderr(std::string_view bytes)
{
    append_stream(FCGI_STDERR, bytes);
}

// Records of the stream straight from the caller's memory; only what the socket does not take at
// once is copied.
void Connection::append_stream(std::uint8_t type, std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::string_view content = bytes.substr(0, max_content);
        bytes.remove_prefix(content.size());
        const RecordHeader header = record_header(type, parser_.request_id(), content.size());
        const iovec parts[] = {piece(header.bytes, sizeof header.bytes),
                               piece(content.data(), content.size()),
                               piece(zeros, padding_for(content.size()))};
        send_queue_and(parts, 3);
    }
}

void Connection::finish(std::string_view last, std::uint32_t app_status)
{
    if (last.size() > max_content) {
        write_stdout(last);
        last = {};
    }
    const std::uint16_t id = parser_.request_id();
    std::string end;
    append_record(end, FCGI_STDOUT, id, {});
    append_end_request(end, id, app_status, FCGI_REQUEST_COMPLETE);
    const RecordHeader header = record_header(FCGI_STDOUT, id, last.size());
    const iovec parts[] = {piece(header.bytes, last.empty() ? 0 : sizeof header.bytes),
                           piece(last.data(), last.size()),
                           piece(zeros, padding_for(last.size())),
                           piece(end.data(), end.size())};
    send_queue_and(parts, 4);
}

void Connection::abort()
{
    // What is queued goes out first: it may begin within a record, whose content the broken one
    // would otherwise be taken for.
    append_broken_record(queue_, parser_.request_id());
    flush();
}

void Connection::flush()
{
    send_queue_and(nullptr, 0);
}

// Sends the queue and then `more`; what the socket does not take is queued.
void Connection::send_queue_and(const iovec* more, int count)
{
    constexpr int max_more = 4;
    iovec parts[1 + max_more];
    int used = 0;
    parts[used++] = piece(queue_.data() + sent_, queue_.size() - sent_);
    for (int i = 0; i < count && i < max_more; ++i)
        parts[used++] = more[i];

    std::size_t taken = 0;
    if (!gone_) {
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = static_cast<std::size_t>(used);
        const ssize_t sent = ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            taken = static_cast<std::size_t>(sent);
        else if (!would_block(errno))
            gone_ = true;
    }
    if (gone_) {
        queue_.clear();
        sent_ = 0;
        return;
    }
    const std::size_t from_queue = std::min(taken, parts[0].iov_len);
    sent_ += from_queue;
    taken -= from_queue;
    if (sent_ == queue_.size()) {
        queue_.clear();
        sent_ = 0;
    }
    // Who always writes a little more than the peer takes must not make the queue grow for ever.
    if (sent_ > queue_.size() / 2) {
        queue_.erase(0, sent_);
        sent_ = 0;
    }
    for (int i = 1; i < used; ++i) {
        const std::size_t skip = std::min(taken, parts[i].iov_len);
        taken -= skip;
        queue_.append(static_cast<const char*>(parts[i].iov_base) + skip, parts[i].iov_len - skip);
    }
}

void Connection::give_up()
{
    gone_ = eof_ = true;
    queue_.clear();
    sent_ = 0;
}

void Connection::shut_down()
{
    ::shutdown(fd(), SHUT_WR);
}

bool Connection::input_left() const
{
    return !gone_ && !eof_ && (!body_ended_ || !input_.empty() || !body_.empty());
}

bool Connection::drain()
{
    if (!buffer_)
        buffer_ = std::make_unique_for_overwrite<char[]>(buffer_size);
    for (int i = 0; i < max_drain_reads; ++i) {
        const ssize_t got = ::recv(fd(), buffer_.get(), buffer_size, MSG_DONTWAIT);
        if (got == 0)
            return true;
        if (got < 0)
            return !would_block(errno);
    }
    return false;
}

}  // namespace fcgi
