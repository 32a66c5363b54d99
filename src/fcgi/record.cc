#include "fcgi/record.h"

#include <algorithm>
#include <cstring>

#include <fastcgi.h>

namespace fcgi {

namespace {

// A GET_VALUES query names three short variables; no honest one is longer.
constexpr std::size_t max_collected = 1024;

// FCGI_HEADER_LEN is 8 and records are padded to that: receivers may rely on alignment.
constexpr std::size_t alignment = FCGI_HEADER_LEN;

// Reserved bytes and padding are sent as zeros: nothing of this process may leak into them.
constexpr char zeros[alignment] = {};

}  // namespace

Parser::Parser(std::size_t max_params, unsigned max_connections)
    : max_params_(max_params), max_connections_(max_connections)
{
}

Event Parser::next(std::string_view& input)
{
    if (failed_)
        return fail("data after a broken record");
    // A record can need a step after its last byte: to be looked at, and to be ended.
    const auto step_due = [this] {
        return have_ == sizeof header_ && (!opened_ || (content_ == 0 && padding_ == 0));
    };
    while (!input.empty() || step_due()) {
        if (have_ < sizeof header_) {
            take_header(input);
            continue;
        }
        Event event;
        if (!opened_) {
            opened_ = true;
            event = begin_content();
        } else if (content_ > 0) {
            event = take_content(input);
        } else if (padding_ > 0) {
            const std::size_t skip = std::min(padding_, input.size());
            input.remove_prefix(skip);
            padding_ -= skip;
        } else {
            event = end_record();
        }
        if (event.kind != Event::Kind::more)
            return event;
    }
    return {};
}

void Parser::take_header(std::string_view& input)
{
    const std::size_t take = std::min(sizeof header_ - have_, input.size());
    std::memcpy(header_ + have_, input.data(), take);
    input.remove_prefix(take);
    have_ += take;
    if (have_ < sizeof header_)
        return;
    type_ = header_[1];
    record_id_ = static_cast<std::uint16_t>(header_[2] << 8 | header_[3]);
    content_ = static_cast<std::size_t>(header_[4] << 8 | header_[5]);
    padding_ = header_[6];
    empty_ = content_ == 0;
    opened_ = false;
}

// The header is known: decides what the content is for.
Event Parser::begin_content()
{
    use_ = Use::skip;
    if (header_[0] != FCGI_VERSION_1)
        return fail(
            "not FastCGI (a web server must speak to it by fastcgi_pass or the like, not by HTTP)");
    if (record_id_ == FCGI_NULL_REQUEST_ID)
        return open_management_record();
    return open_application_record();
}

Event Parser::open_management_record()
{
    // The types of application records make no sense without a request.
    if (type_ >= FCGI_BEGIN_REQUEST && type_ <= FCGI_DATA)
        return fail("application record with request id 0");
    collected_.clear();
    if (type_ == FCGI_GET_VALUES) {
        if (content_ > max_collected)
            return fail("GET_VALUES query of more than 1,024 bytes");
        use_ = Use::collect;
    }
    return {};
}

Event Parser::open_application_record()
{
    if (type_ == FCGI_BEGIN_REQUEST)
        return open_begin();
    if (stage_ == Stage::idle || stage_ == Stage::deaf || record_id_ != id_)
        return {};  // records of inactive requests are ignored
    if (type_ == FCGI_PARAMS) {
        if (stage_ != Stage::params)
            return fail("PARAMS after the end of the parameters");
        use_ = Use::params;
    } else if (type_ == FCGI_STDIN) {
        if (stage_ == Stage::params)
            return fail("STDIN before the end of the parameters");
        if (stage_ == Stage::stdin_open)
            use_ = Use::body;
    }
    return {};
}

Event Parser::open_begin()
{
    if (content_ != sizeof(FCGI_BeginRequestBody))
        return fail("BEGIN_REQUEST with a body that is not 8 bytes");
    if (stage_ != Stage::idle && record_id_ == id_)
        return begin_again();
    collected_.clear();
    use_ = Use::collect;
    return {};
}

// A client that sends its next request early, under the same id, cannot be answered under that id:
// it has to try again. The first request is complete and must not suffer.
Event Parser::begin_again()
{
    if (stage_ == Stage::params || stage_ == Stage::stdin_open)
        return fail("BEGIN_REQUEST for the request that is being served");
    stage_ = Stage::deaf;
    return {};
}

Event Parser::take_content(std::string_view& input)
{
    const std::string_view piece = input.substr(0, std::min(content_, input.size()));
    input.remove_prefix(piece.size());
    content_ -= piece.size();
    switch (use_) {
    case Use::collect: collected_.append(piece); break;
    case Use::params:
        params_size_ += piece.size();
        if (params_too_large())
            return give_up_params();
        params_bytes_.append(piece);
        break;
    case Use::body: return {Event::Kind::body, piece};
    case Use::skip: break;
    }
    return {};
}

// Content and padding have been read.
Event Parser::end_record()
{
    have_ = 0;
    if (record_id_ == FCGI_NULL_REQUEST_ID)
        return end_of_management();
    if (use_ == Use::collect)
        return end_of_begin();
    if (stage_ == Stage::idle || stage_ == Stage::deaf || record_id_ != id_)
        return {};
    if (type_ == FCGI_ABORT_REQUEST)
        return {Event::Kind::aborted, {}};
    if (use_ == Use::params && empty_)
        return end_of_params();
    if (use_ == Use::body && empty_) {
        stage_ = Stage::stdin_ended;
        return {Event::Kind::body_end, {}};
    }
    return {};
}

Event Parser::end_of_begin()
{
    const auto at = [this](std::size_t i) { return static_cast<unsigned char>(collected_[i]); };
    const int role = at(0) << 8 | at(1);
    answer_.clear();
    if (stage_ != Stage::idle) {
        append_end_request(answer_, record_id_, 0, FCGI_CANT_MPX_CONN);
        return answer(Event::Kind::reply);
    }
    keep_ = (at(2) & FCGI_KEEP_CONN) != 0;
    if (role != FCGI_RESPONDER) {
        append_end_request(answer_, record_id_, 0, FCGI_UNKNOWN_ROLE);
        return answer(keep_ ? Event::Kind::reply : Event::Kind::refused);
    }
    id_ = record_id_;
    stage_ = Stage::params;
    params_size_ = 0;
    params_bytes_.clear();
    params_.clear();
    return {};
}

Event Parser::end_of_params()
{
    stage_ = Stage::stdin_open;
    if (!params_.decode(std::move(params_bytes_)))
        return fail("malformed name-value pairs in PARAMS");
    params_bytes_ = {};
    return {Event::Kind::head, {}};
}

Event Parser::give_up_params()
{
    stage_ = Stage::deaf;
    use_ = Use::skip;
    params_bytes_ = {};
    return {Event::Kind::head, {}};
}

Event Parser::end_of_management()
{
    answer_.clear();
    if (type_ != FCGI_GET_VALUES) {
        FCGI_UnknownTypeBody body{};
        body.type = type_;
        append_record(answer_,
                      FCGI_UNKNOWN_TYPE,
                      FCGI_NULL_REQUEST_ID,
                      {reinterpret_cast<const char*>(&body), sizeof body});
        return answer(Event::Kind::reply);
    }
    const std::string limit = std::to_string(max_connections_);
    const Params::Pair known[] = {
        {FCGI_MAX_CONNS, limit}, {FCGI_MAX_REQS, limit}, {FCGI_MPXS_CONNS, "0"}};
    std::string values;
    for (const auto& [name, value] : known) {
        std::string_view rest = collected_;
        while (const auto asked = take_pair(rest)) {
            if (asked->first != name)
                continue;
            values += static_cast<char>(name.size());
            values += static_cast<char>(value.size());
            values.append(name).append(value);
            break;  // each once, however often it is asked for
        }
    }
    append_record(answer_, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, values);
    return answer(Event::Kind::reply);
}

Event Parser::answer(Event::Kind kind)
{
    return {kind, answer_};
}

Event Parser::fail(std::string_view reason)
{
    failed_ = true;
    return {Event::Kind::error, reason};
}

std::size_t padding_for(std::size_t content)
{
    return (alignment - content % alignment) % alignment;
}

RecordHeader record_header(std::uint8_t type, std::uint16_t id, std::size_t content)
{
    const auto low = [](std::size_t value) { return static_cast<unsigned char>(value & 0xff); };
    return {{FCGI_VERSION_1,
             type,
             low(id >> 8),
             low(id),
             low(content >> 8),
             low(content),
             low(padding_for(content)),
             0}};
}

void append_record(std::string& out, std::uint8_t type, std::uint16_t id, std::string_view content)
{
    const RecordHeader header = record_header(type, id, content.size());
    out.append(reinterpret_cast<const char*>(header.bytes), sizeof header.bytes);
    out.append(content);
    out.append(zeros, padding_for(content.size()));
}

void append_end_request(std::string& out,
                        std::uint16_t id,
                        std::uint32_t app_status,
                        std::uint8_t protocol_status)
{
    FCGI_EndRequestBody body{};
    body.appStatusB3 = static_cast<unsigned char>(app_status >> 24);
    body.appStatusB2 = static_cast<unsigned char>(app_status >> 16 & 0xff);
    body.appStatusB1 = static_cast<unsigned char>(app_status >> 8 & 0xff);
    body.appStatusB0 = static_cast<unsigned char>(app_status & 0xff);
    body.protocolStatus = protocol_status;
    append_record(out, FCGI_END_REQUEST, id, {reinterpret_cast<const char*>(&body), sizeof body});
}

void append_broken_record(std::string& out, std::uint16_t id)
{
    RecordHeader header = record_header(FCGI_STDOUT, id, 0);
    header.bytes[0] = 0;  // the version
    out.append(reinterpret_cast<const char*>(header.bytes), sizeof header.bytes);
}

}  // namespace fcgi
