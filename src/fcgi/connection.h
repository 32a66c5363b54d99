// connection.h - one FastCGI connection: socket, parser and output queue. Never blocks.
// Units    sizes in bytes; app_status is the exit status of the program.
// Errors   no call throws. gone(): the web server has left, nothing can be delivered any more.
//          error(): it sent something that is no FastCGI, in words for the log; the connection can
//          only be closed.
// Owner    the worker that accepted it. Bodies are views into the connection's buffer: nothing more
//          is read from the socket until they are consumed, which is the back-pressure.
// Source   FastCGI 1.0; what nginx 1.22 takes for a complete reply was measured, see abort().
#pragma once

#include "base/unique_fd.h"
#include "fcgi/record.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <sys/uio.h>

namespace fcgi {

struct ConnectionLimits {
    std::size_t max_params = 256 << 10;
    unsigned max_connections = 1;  // what GET_VALUES is told
    bool tcp = false;              // an end of stream means that the peer has left altogether
};

class Connection {
public:
    Connection(UniqueFd socket, const ConnectionLimits& limits);

    int fd() const { return socket_.get(); }

    // What to ask poll(2) for, and what to do with its answer: reads once if there is something to
    // read and the buffer is free, writes what is queued, notices a peer that has left.
    short poll_events() const;
    void note_poll(short revents);
    // Reads once without having been told that there is something.
    void receive();

    bool untouched() const { return parser_.idle() && !head_; }  // not a byte of a request yet
    bool head_complete() const { return head_; }
    const Params& params() const { return parser_.params(); }
    bool params_too_large() const { return parser_.params_too_large(); }

    // The part of the request body that has arrived and is not consumed yet.
    std::string_view body() const { return body_; }
    void consume(std::size_t bytes);
    // Consumes all that has arrived; answers how much it was.
    std::size_t drop_body();
    // Nothing will follow what body() holds: end of STDIN, or of the connection.
    bool body_ended() const { return body_ended_ || eof_ || gone_; }
    // The end of STDIN has come, so what was consumed is the whole body.
    bool body_complete() const { return body_ended_; }
    // It will not come, and all that did is consumed. Of a peer that has left receive() comes
    // first.
    bool body_cut() const { return cut_ || (gone_ && !body_ended_ && body_.empty()); }
    // The buffer is free, and more may come: also from a peer that has left, which may have sent
    // all before.
    bool wants_input() const { return body_.empty() && !eof_ && !refused_ && error_.empty(); }

    bool aborted() const { return aborted_; }
    bool gone() const { return gone_; }
    // The web server is not waited for any longer: as if it had left.
    void give_up();
    bool refused() const { return refused_; }
    const std::string& error() const { return error_; }

    // Output: sent at once as far as the socket takes it, the rest is queued.
    void write_stdout(std::string_view bytes);
    // Queued in any case: goes out with what is written next.
    void queue_stdout(std::string_view bytes);
    void write_stderr(std::string_view bytes);
    // Ends the reply: the end of STDOUT and END_REQUEST, together with `last` in one system call.
    void finish(std::string_view last, std::uint32_t app_status);
    // Ends a reply that cannot be completed so that the web server sees that it is not: with a
    // broken record after what was written.
    void abort();
    std::size_t output_left() const { return queue_.size() - sent_; }
    bool output_pending() const { return output_left() > 0; }
    void flush();

    // After the reply: nothing more is sent.
    void shut_down();
    // Closing now could destroy the reply on its way, because input is unread or still to come:
    // shut_down() and drain() first.
    bool input_left() const;
    // Reads and drops what is there. True when the peer has closed.
    bool drain();

private:
    void parse();
    void note_abort();
    void fail(std::string_view reason);
    void answer(std::string_view record);
    void append_stream(std::uint8_t type, std::string_view bytes);
    void send_queue_and(const iovec* more, int count);

    UniqueFd socket_;
    const bool tcp_;
    Parser parser_;

    std::unique_ptr<char[]> buffer_;
    std::string_view input_;  // the part of buffer_ that is not parsed yet
    std::string_view body_;

    bool head_ = false;
    bool body_ended_ = false;
    bool aborted_ = false;
    bool cut_ = false;  // aborted within the body
    bool eof_ = false;
    bool half_closed_ = false;
    bool gone_ = false;
    bool refused_ = false;
    std::string error_;

    std::string queue_;
    std::size_t sent_ = 0;          // how much of queue_ the socket has taken
    std::size_t answers_left_ = 0;  // at most so much of it are answers to management records
};

}  // namespace fcgi
