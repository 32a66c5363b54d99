#include "fcgi/streams.h"

#include <fcgiapp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include <fastcgi.h>
#include <poll.h>

namespace fcgi {

namespace {

// One full record of the reply; and lines of the log, as libfcgi buffers them.
constexpr std::size_t output_size = max_content;
constexpr std::size_t errors_size = 4 << 10;

// What FCGX_SetExitStatus and FCGX_StartFilterData expect behind FCGX_Stream::data. libfcgi keeps
// this structure to itself, and it has been the same from 2.4.0 to 2.4.7; streams_test.cc
// notices when it changes. Nothing else in libfcgi that takes a stream looks behind it, apart from
// FCGX_FreeStream, which modules have no business with.
struct Hidden {
    unsigned char* buffer = nullptr;
    int buffer_size = 0;
    unsigned char* allocated = nullptr;
    unsigned char* buffer_end = nullptr;
    int type = 0;
    int numbers[6] = {};
    FCGX_Request* request = nullptr;
};
static_assert(sizeof(void*) != 8 || offsetof(Hidden, type) == 32);
static_assert(sizeof(void*) != 8 || offsetof(Hidden, request) == 64);
static_assert(sizeof(void*) != 8 || offsetof(FCGX_Request, appStatus) == 60);

int errno_for(StreamFailure why, bool reader)
{
    switch (why) {
    case StreamFailure::client_left: return reader ? ECONNRESET : EPIPE;
    case StreamFailure::protocol: return FCGX_PROTOCOL_ERROR;
    case StreamFailure::too_large: return EFBIG;
    case StreamFailure::stopping: return ECANCELED;
    case StreamFailure::body_timeout:
    case StreamFailure::send_timeout:
    case StreamFailure::deadline: break;
    }
    return ETIMEDOUT;
}

// Nothing more can be read from the stream or written to it; libfcgi's functions see that from
// isClosed only after the pointers have left no room.
void close_stream(FCGX_Stream& stream, int error)
{
    if (stream.FCGI_errno == 0)
        stream.FCGI_errno = error;
    stream.isClosed = 1;
    if (stream.isReader != 0)
        stream.stop = stream.wrNext = stream.rdNext;
    else
        stream.stop = stream.rdNext = stream.wrNext;
}

}  // namespace

struct Streams::Impl {
    // What a stream's `data` points to; libfcgi sees the first part.
    struct Link {
        Hidden hidden;
        Impl* self = nullptr;
    };

    Impl(Connection& connection, const StreamLimits& stream_limits, StreamOwner& stream_owner)
        : client(connection), limits(stream_limits), owner(stream_owner)
    {
        request.role = FCGI_RESPONDER;
        request.ipcFd = -1;
        request.listen_sock = -1;
        request.in = &in;
        request.out = &out;
        request.err = &err;
        open(in, in_link, FCGI_STDIN, {});
        open(out, out_link, FCGI_STDOUT, {output.get(), output_size});
        open(err, err_link, FCGI_STDERR, {errors.get(), errors_size});
    }

    void open(FCGX_Stream& stream, Link& link, int type, std::span<unsigned char> buffer)
    {
        link.hidden.type = type;
        link.hidden.request = &request;
        link.hidden.buffer = buffer.data();
        link.hidden.buffer_size = static_cast<int>(buffer.size());
        link.hidden.buffer_end = buffer.data() + buffer.size();
        link.self = this;
        stream.data = &link;
        stream.isReader = type == FCGI_STDIN ? 1 : 0;
        stream.wrNext = buffer.data();
        stream.rdNext = stream.stop = buffer.data() + buffer.size();
        stream.stopUnget = stream.isReader != 0 ? stream.rdNext : nullptr;
        stream.fillBuffProc = stream.isReader != 0 ? fill : nullptr;
        stream.emptyBuffProc = stream.isReader != 0 ? nullptr : empty;
    }

    static Impl& of(FCGX_Stream* stream) { return *static_cast<Link*>(stream->data)->self; }

    // These two are called from libfcgi's C code: what is thrown here must not pass through it.
    static void fill(FCGX_Stream* stream) noexcept { of(stream).read(); }
    static void empty(FCGX_Stream* stream, int closes) noexcept
    {
        Impl& self = of(stream);
        if (stream == &self.err)
            self.write_errors();
        else
            self.write(closes != 0);
    }

    void read();
    void write(bool last);
    void write_errors();
    void drain_output();

    void fail(StreamFailure why);
    std::optional<StreamFailure> wait(TimePoint give_up, StreamFailure late);
    std::optional<StreamFailure> client_failure() const;

    std::string_view buffered(FCGX_Stream& stream)
    {
        auto* const buffer = static_cast<Link*>(stream.data)->hidden.buffer;
        const auto size = static_cast<std::size_t>(stream.wrNext - buffer);
        if (stream.isClosed == 0)
            stream.wrNext = buffer;
        return {reinterpret_cast<const char*>(buffer), stream.isClosed == 0 ? size : 0};
    }

    Connection& client;
    const StreamLimits limits;
    StreamOwner& owner;

    FCGX_Request request{};
    FCGX_Stream in{};
    FCGX_Stream out{};
    FCGX_Stream err{};
    Link in_link;
    Link out_link;
    Link err_link;
    std::unique_ptr<unsigned char[]> output =
        std::make_unique_for_overwrite<unsigned char[]>(output_size);
    std::unique_ptr<unsigned char[]> errors =
        std::make_unique_for_overwrite<unsigned char[]>(errors_size);

    std::size_t lent = 0;  // how much of the connection's body `in` points into
    std::uint64_t received = 0;
    bool failed = false;
};

// One wait for the client: for `give_up` at most, which would be `late`.
std::optional<StreamFailure> Streams::Impl::wait(TimePoint give_up, StreamFailure late)
{
    const TimePoint now = Clock::now();
    if (now >= limits.deadline)
        return StreamFailure::deadline;
    if (now >= give_up)
        return late;
    pollfd set[] = {{client.fd(), client.poll_events(), 0}, {limits.wake, POLLIN, 0}};
    const TimePoint until = std::min({give_up, limits.deadline, now + limits.beat});
    if (::poll(set, std::size(set), poll_timeout(until, now)) > 0 && set[0].revents != 0)
        client.note_poll(set[0].revents);
    if (!owner.alive())
        return StreamFailure::stopping;
    return std::nullopt;
}

std::optional<StreamFailure> Streams::Impl::client_failure() const
{
    if (!client.error().empty())
        return StreamFailure::protocol;
    if (client.gone() || client.aborted())
        return StreamFailure::client_left;
    return std::nullopt;
}

// The next piece of the request body, straight from the connection's buffer.
void Streams::Impl::read()
{
    client.consume(std::exchange(lent, 0));
    if (!owner.alive())
        return fail(StreamFailure::stopping);
    client.receive();
    const TimePoint now = Clock::now();
    const TimePoint give_up = deadline_after(now, limits.body_timeout);
    if (now >= limits.deadline)
        return fail(StreamFailure::deadline);
    while (client.body().empty()) {
        if (const auto failure = client_failure())
            return fail(*failure);
        if (client.body_ended())
            return close_stream(in, 0);
        if (const auto failure = wait(give_up, StreamFailure::body_timeout))
            return fail(*failure);
    }
    const std::string_view body = client.body();
    received += body.size();
    if (limits.max_body > 0 && received > limits.max_body)
        return fail(StreamFailure::too_large);
    // FCGX_UnGetChar writes to it, which the memory behind the view allows.
    in.rdNext = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(body.data()));
    in.stop = in.wrNext = in.rdNext + body.size();
    lent = body.size();
}

void Streams::Impl::write(bool last)
{
    if (!owner.alive())
        return fail(StreamFailure::stopping);
    if (!owner.take_output(buffered(out), last))
        return fail(client_failure().value_or(StreamFailure::client_left));
    drain_output();
    // The web server may leave as soon as it has the end of the reply.
    const auto failure = client_failure();
    if (failure && !last)
        fail(*failure);
}

// Back-pressure: the handler goes on when the client has taken all.
void Streams::Impl::drain_output()
{
    const TimePoint now = Clock::now();
    if (now >= limits.deadline)
        return fail(StreamFailure::deadline);
    std::size_t left = client.output_left();
    TimePoint give_up = deadline_after(now, limits.send_timeout);
    while (client.output_pending() && !client.gone()) {
        if (const auto failure = wait(give_up, StreamFailure::send_timeout))
            return fail(*failure);
        if (client.output_left() != left) {
            left = client.output_left();
            give_up = deadline_after(Clock::now(), limits.send_timeout);
        }
    }
}

void Streams::Impl::write_errors()
{
    owner.take_errors(buffered(err));
}

void Streams::Impl::fail(StreamFailure why)
{
    const bool told = std::exchange(failed, true);
    close_stream(in, errno_for(why, true));
    const bool silent = why == StreamFailure::client_left && limits.ignore_abort;
    if (!silent)
        close_stream(out, errno_for(why, false));
    if (!told)
        owner.stream_failed(why);
}

Streams::Streams(Connection& client, const StreamLimits& limits, StreamOwner& owner)
    : impl_(std::make_unique<Impl>(client, limits, owner))
{
}

Streams::~Streams() = default;

FCGX_Stream* Streams::in()
{
    return &impl_->in;
}

FCGX_Stream* Streams::out()
{
    return &impl_->out;
}

FCGX_Stream* Streams::err()
{
    return &impl_->err;
}

void Streams::close()
{
    impl_->write_errors();
    if (impl_->out.isClosed == 0)
        impl_->owner.take_output(impl_->buffered(impl_->out), true);
    discard();
}

void Streams::discard()
{
    impl_->write_errors();
    for (FCGX_Stream* stream : {in(), out(), err()})
        close_stream(*stream, 0);
    impl_->client.consume(std::exchange(impl_->lent, 0));
}

int Streams::exit_status() const
{
    return impl_->request.appStatus;
}

}  // namespace fcgi
