// fastcgi_client.h - a raw FastCGI client: sends any bytes in any pieces, reads the reply strictly.
// Units    time is milliseconds, counted from the connect.
// Errors   throws ProtocolDefect on records no server may send, std::system_error when it cannot
//          connect. A peer that closes or resets is a result, not an error.
// Owner    the test; the destructor closes the connection.
#pragma once

#include "tests/system/support/cgi_answer.h"
#include "tests/system/support/record.h"
#include "tests/system/support/wait.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// One request, as a web server would send it, with the handles to make it wrong.
struct Request {
    Pairs params;
    std::string body;
    std::uint16_t id = 1;
    bool keep = false;
    std::uint16_t role = fastcgi::responder;

    void set(std::string_view name, std::string value);  // replaces or adds
    void unset(std::string_view name);
    std::string head() const;   // BEGIN_REQUEST and PARAMS with its empty record
    std::string input() const;  // STDIN with its empty record
    std::string bytes() const { return head() + input(); }
};

enum class End {
    ended,     // END_REQUEST came
    closed,    // the connection was closed without it
    reset,     // the connection was reset without it
    invalid,   // a record of version 0 came: the reply says that it is not complete
    deadline,  // nothing of this within the time
};

struct Reply {
    End end = End::deadline;
    std::string out;
    std::string err;
    std::uint32_t app_status = 0;
    std::uint8_t protocol_status = 0;
    bool out_ended = false;  // the empty STDOUT record came
    std::vector<Record> records;
    std::vector<std::pair<Milliseconds, std::string>> pieces;  // of stdout, when they came

    bool complete() const
    {
        return end == End::ended && protocol_status == fastcgi::request_complete;
    }
    CgiAnswer answer() const { return parse_answer(out); }
    int status() const { return answer().status; }
    std::string body() const { return answer().body; }
};

class FastcgiClient {
public:
    // unix:PATH, HOST:PORT or [V6]:PORT
    explicit FastcgiClient(const std::string& address);
    FastcgiClient(FastcgiClient&& other) noexcept;
    FastcgiClient& operator=(FastcgiClient&&) = delete;
    ~FastcgiClient();

    // Sends everything, and takes in what comes meanwhile (unless reading is off).
    // False when the peer is gone or takes no more within the patience.
    bool send(std::string_view bytes, Milliseconds patience = default_patience);
    bool send_pieces(std::string_view bytes,
                     std::size_t piece,
                     Milliseconds pause = Milliseconds{0});
    void hold_reading(bool hold) { holding_ = hold; }
    // The server has sent something, which is not read yet.
    bool wait_readable(Milliseconds patience = default_patience) const;
    void half_close();
    void close();
    void reset();  // close with RST where the transport has it (TCP), else close

    // The next whole record; nullopt on end of file, reset or deadline.
    std::optional<Record> read_record(Milliseconds patience = default_patience);
    Reply read_reply(std::uint16_t id = 1, Milliseconds patience = default_patience);
    // Reads until the stdout of the reply holds the text, or false.
    bool wait_for_output(std::string_view text, Milliseconds patience = default_patience);
    // The peer closed or reset the connection; bytes before that are dropped.
    bool wait_closed(Milliseconds patience = default_patience);
    bool closed() const { return eof_ || reset_; }

private:
    bool exchange(std::string_view& pending, Milliseconds patience);
    void receive();

    int fd_ = -1;
    std::string inbox_;
    std::string seen_;
    bool eof_ = false;
    bool reset_ = false;
    bool holding_ = false;
    Stopwatch since_;
};

// Connects, sends the request, reads the reply.
Reply ask(const std::string& address,
          const Request& request,
          Milliseconds patience = default_patience);
