// streams.h - one request as libfcgi's FCGX_Stream objects: stdin, stdout and stderr of a handler
// that runs inside the worker and was written for FCGX_GetStr, FCGX_PutStr and their like. Reading
// and writing wait, with the deadlines of the pool.
// Units    sizes in bytes.
// Errors   a stream that fails has FCGX_GetError(): ETIMEDOUT, EFBIG (body over the limit),
//          ECONNRESET (in: client has left), EPIPE (out: likewise), ECANCELED (the owner wants an
//          end), FCGX_PROTOCOL_ERROR. What fails one of in and out fails the other too. The owner
//          is told why, once.
// Owner    the Task of the request; the connection and the StreamOwner outlive the streams. Not to
//          be moved: the streams point into it.
// Source   libfcgi 2.4.2's fcgiapp.h, and its functions' behaviour as streams_test.cc holds it.
#pragma once

#include "base/clock.h"
#include "fcgi/connection.h"

#include <cstdint>
#include <memory>
#include <string_view>

struct FCGX_Stream;

namespace fcgi {

struct StreamLimits {
    Duration body_timeout{60'000};  // between two pieces of the request body
    Duration send_timeout{60'000};  // between two pieces that the client takes of the reply
    TimePoint deadline = never;     // of the whole request
    std::uint64_t max_body = 0;     // 0: no limit
    Duration beat{1'000};           // how often alive() is called while the streams wait
    int wake = -1;                  // a descriptor: alive() is called when it is readable, too
    bool ignore_abort = false;      // writing goes on, to nowhere, when the client has left
};

enum class StreamFailure {
    client_left,
    protocol,
    body_timeout,
    send_timeout,
    deadline,
    too_large,
    stopping,  // alive() has said so
};

// The other side of the streams.
class StreamOwner {
public:
    virtual ~StreamOwner() = default;

    // What the handler has written, for the client; `last`: it has closed the stream. False when
    // nothing more can be of use: the handler sees an error then.
    virtual bool take_output(std::string_view bytes, bool last) = 0;
    virtual void take_errors(std::string_view bytes) = 0;

    // The request has failed; what the handler does now reaches nobody.
    virtual void stream_failed(StreamFailure why) = 0;

    // With every piece read and written, and now and then while the streams wait. False: the
    // request must end now.
    virtual bool alive() = 0;
};

class Streams {
public:
    Streams(Connection& client, const StreamLimits& limits, StreamOwner& owner);
    Streams(const Streams&) = delete;
    Streams& operator=(const Streams&) = delete;
    ~Streams();

    FCGX_Stream* in();
    FCGX_Stream* out();
    FCGX_Stream* err();

    // The handler has returned: hands over what is still buffered, and closes. Does not wait.
    void close();
    // Likewise, but what is buffered of the reply is dropped.
    void discard();

    // What FCGX_SetExitStatus said, 0 without.
    int exit_status() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace fcgi
