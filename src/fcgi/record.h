// record.h - the FastCGI wire format: a push parser for what a web server sends, and the records
// that go back. Bytes in, events out: no I/O, no clock, no allocation for a record.
// Units    sizes in bytes.
// Errors   Event::Kind::error with the reason in words: the connection is to be closed, nothing
//          that follows can be trusted. Everything else that is odd is answered or ignored as the
//          specification says.
// Owner    a Connection. One request at a time: a second one is refused with CANT_MPX_CONN.
// Source   FastCGI 1.0; the traps that libfcgi's own reader falls into are in record_test.cc.
#pragma once

#include "fcgi/params.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fcgi {

// The largest content that a record of ours carries: a multiple of 8, so that content and padding
// together stay within 16 bits for receivers that add them up in that width.
inline constexpr std::size_t max_content = 65'528;

struct Event {
    enum class Kind {
        more,      // the input is used up
        head,      // a request's parameters are complete: see Parser::params()
        body,      // bytes: a piece of the request body, a view into the input
        body_end,  // the request body is complete
        aborted,   // the web server has given the request up
        reply,     // bytes: an answer to send, valid until the next call; the connection goes on
        refused,   // bytes: likewise, but the connection is of no more use after it
        error,     // bytes: what is wrong
    };
    Kind kind = Kind::more;
    std::string_view bytes;
};

class Parser {
public:
    // A head whose parameters exceed max_params is reported as soon as they do, with
    // params_too_large(); none of it is kept, and nothing that follows is looked at.
    explicit Parser(std::size_t max_params, unsigned max_connections);

    // Takes a prefix off `input` and says what it was. Call until it answers more; a body's view
    // must be used before the buffer behind it is.
    Event next(std::string_view& input);

    // What a request's head held; valid from head on.
    std::uint16_t request_id() const { return id_; }
    bool keep_connection() const { return keep_; }
    const Params& params() const { return params_; }
    bool params_too_large() const { return params_size_ > max_params_; }

    // False until the first byte of anything has arrived.
    bool idle() const { return stage_ == Stage::idle && have_ == 0; }

private:
    // deaf: nothing that follows is looked at, the connection will be closed.
    enum class Stage { idle, params, stdin_open, stdin_ended, deaf };
    // What becomes of the content of the record being read.
    enum class Use { collect, params, body, skip };

    void take_header(std::string_view& input);
    Event begin_content();
    Event take_content(std::string_view& input);
    Event end_record();
    Event open_application_record();
    Event open_begin();
    Event open_management_record();
    Event begin_again();
    Event end_of_begin();
    Event end_of_params();
    Event give_up_params();
    Event end_of_management();
    Event fail(std::string_view reason);
    Event answer(Event::Kind kind);

    const std::size_t max_params_;
    const unsigned max_connections_;

    Stage stage_ = Stage::idle;
    bool failed_ = false;

    // The record being read.
    unsigned char header_[8] = {};
    std::size_t have_ = 0;  // bytes of header_ that are there; 8 while content or padding is read
    bool opened_ = false;   // begin_content() has run for this record
    std::uint8_t type_ = 0;
    std::uint16_t record_id_ = 0;
    std::size_t content_ = 0;  // bytes of content still to come
    std::size_t padding_ = 0;
    bool empty_ = false;  // the record came without content: the end of a stream
    Use use_ = Use::skip;

    // Small contents that must be whole: BEGIN_REQUEST and GET_VALUES.
    std::string collected_;
    std::string answer_;

    // The request.
    std::uint16_t id_ = 0;
    bool keep_ = false;
    std::size_t params_size_ = 0;
    std::string params_bytes_;
    Params params_;
};

// The 8 bytes before a record's content. Padding is the caller's to send: zero bytes,
// padding_for().
struct RecordHeader {
    unsigned char bytes[8];
};
RecordHeader record_header(std::uint8_t type, std::uint16_t id, std::size_t content);
std::size_t padding_for(std::size_t content);

// Whole small records, appended to `out`.
void append_record(std::string& out, std::uint8_t type, std::uint16_t id, std::string_view content);
void append_end_request(std::string& out,
                        std::uint16_t id,
                        std::uint32_t app_status,
                        std::uint8_t protocol_status);
// A record that no receiver can take for a valid one: the only way to make nginx fail a transfer
// that it has begun to pass on. A plain close, a reset and END_REQUEST with any status all look
// like a complete reply to it.
void append_broken_record(std::string& out, std::uint16_t id);

}  // namespace fcgi
