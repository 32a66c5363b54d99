#include "handler/cgi/response.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <system_error>

namespace cgi {

namespace {

// Far beyond what any program needs, and web servers have such a limit, too.
constexpr std::size_t max_lines = 500;

// RFC 9110 section 5.6.2: what a field name is made of.
constexpr std::array<bool, 256> token_bytes = [] {
    std::array<bool, 256> table{};
    for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        table[static_cast<unsigned char>(c)] = true;
    return table;
}();

bool is_token(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return token_bytes[static_cast<unsigned char>(c)];
    });
}

// A NUL ends a field early in C code, a bare CR ends a line for some clients: response splitting.
bool is_value(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
    });
}

bool is(std::string_view name, std::string_view wanted)
{
    return text::equal_ignoring_case(name, wanted);
}

// They speak of one connection, and the program has none: the web server would believe them.
bool is_hop_by_hop(std::string_view name)
{
    static constexpr std::string_view names[] = {
        "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"};
    return is(name.substr(0, 6), "proxy-") ||
           std::any_of(std::begin(names), std::end(names), [&](std::string_view hop) {
               return is(name, hop);
           });
}

// An absolute path of this server. "//host/x" is another server's, whatever it looks like.
bool is_local_path(std::string_view location)
{
    return location.starts_with('/') && !location.starts_with("//");
}

}  // namespace

Response::Verdict Response::feed(std::string_view bytes)
{
    std::string_view left = bytes;
    Step step = Step::next;
    while (!left.empty() && step == Step::next)
        step = take_piece(left);
    if (step == Step::done)
        return finish(left);
    if (step == Step::bad)
        return refuse(bytes);
    if (rules_.lenient)
        held_.append(bytes);
    return Verdict::more;
}

// Takes one line off the front of `left`, or the beginning of one.
Response::Step Response::take_piece(std::string_view& left)
{
    const auto newline = left.find('\n');
    const bool whole = newline != std::string_view::npos;
    const std::size_t size = whole ? newline + 1 : left.size();
    size_ += size;
    if (size_ > rules_.max_header_size) {
        reason_ = "the header is larger than " + std::to_string(rules_.max_header_size) + " bytes";
        return Step::bad;
    }
    std::string_view line = left.substr(0, newline);
    left.remove_prefix(size);
    if (!whole || !partial_.empty())
        line = partial_.append(line);
    if (!whole)
        return Step::next;
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    const Step step = take_line(line);
    partial_.clear();
    return step;
}

Response::Verdict Response::end()
{
    if (size_ == 0) {
        reason_ = "the program wrote nothing";
        return Verdict::invalid;
    }
    reason_ = "the output ended before the blank line that ends the header, after " +
              std::to_string(size_) + " bytes";
    if (partial_.find('\r') != std::string::npos)
        reason_ += " (lines must end in LF or CRLF, not in CR alone)";
    return refuse({});
}

Response::Step Response::take_line(std::string_view line)
{
    ++lines_;
    if (line.empty()) {
        if (lines_ > 1)
            return Step::done;
        reason_ = "the output begins with a blank line";
        return rules_.lenient ? Step::done : Step::bad;
    }
    if (lines_ > max_lines) {
        reason_ = "the header has more than " + std::to_string(max_lines) + " lines";
        return Step::bad;
    }
    if (lines_ == 1 && line.starts_with("HTTP/"))
        return take_http_line(line);
    if (line.front() == ' ' || line.front() == '\t')
        return bad("is folded", line);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos)
        return bad("has no colon", line);
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = text::trim(line.substr(colon + 1));
    if (!is_token(name))
        return bad("has a name that is no token", line);
    if (!is_value(value))
        return bad("has a control character in its value", line);
    return take_field(name, value);
}

Response::Step Response::take_field(std::string_view name, std::string_view value)
{
    switch (name.size()) {
    case 6:
        if (is(name, "status"))
            return take_status(value);
        break;
    case 8:
        if (is(name, "location"))
            return take_location(value);
        break;
    case 12: cgi_field_ = cgi_field_ || is(name, "content-type"); break;
    case 14:
        if (is(name, "content-length"))
            return take_length(value);
        break;
    default: break;
    }
    if (!is_hop_by_hop(name))
        append(name, value);
    return Step::next;
}

// What an nph- script begins with. The web server would take it for a broken field.
Response::Step Response::take_http_line(std::string_view line)
{
    const auto space = line.find(' ');
    const std::string_view version = line.substr(0, space);
    if (version != "HTTP/1.0" && version != "HTTP/1.1")
        return bad("begins as a status line but has another version than HTTP/1.x", line);
    const std::string_view value = space == std::string_view::npos ? "" : line.substr(space + 1);
    if (!is_value(value))
        return bad("has a control character", line);
    return take_status(text::trim(value));
}

Response::Step Response::take_status(std::string_view value)
{
    cgi_field_ = true;
    const std::string_view digits = value.substr(0, 3);
    const auto status = text::to_number<unsigned>(digits);
    if (digits.size() < 3 || !status || !text::trim(value.substr(3, 1)).empty())
        return bad("has a status that is not three digits and a text", value);
    if (*status < 200 || *status > 599)
        return bad("has a status outside 200 to 599", value);
    if (has_status_ && static_cast<int>(*status) != status_)
        return bad("has another status than the one before", value);
    if (!has_status_)
        append("Status", value);
    has_status_ = true;
    status_ = static_cast<int>(*status);
    return Step::next;
}

Response::Step Response::take_length(std::string_view value)
{
    cgi_field_ = true;
    const auto length = text::to_number<std::uint64_t>(value);
    if (!length)
        return bad("has a Content-Length that is no number", value);
    if (length_ && length_ != length)
        return bad("has another Content-Length than the one before", value);
    length_ = length;  // written by finish(): a 204 must not have one, and Status may come later
    return Step::next;
}

Response::Step Response::take_location(std::string_view value)
{
    cgi_field_ = true;
    if (location_ && *location_ != value)
        return bad("has another Location than the one before", value);
    location_ = value;  // written by finish(): its meaning depends on Status, which may come later
    return Step::next;
}

Response::Step Response::bad(std::string_view what, std::string_view shown)
{
    reason_ = "line " + std::to_string(lines_) + " of the header ";
    reason_ += what;
    reason_ += ": " + text::in_quotes(shown);
    return Step::bad;
}

void Response::append(std::string_view name, std::string_view value)
{
    header_.append(name).append(value.empty() ? ":" : ": ").append(value).append("\r\n");
}

Response::Verdict Response::finish(std::string_view body)
{
    if (location_ && !has_status_ && is_local_path(*location_) && rules_.local_redirect) {
        append("X-Accel-Redirect", *location_);
    } else if (location_) {
        append("Location", *location_);
        // A local path goes out as it is: each web server has its own way with it.
        if (!has_status_ && !is_local_path(*location_))
            append("Status", "302 Found");
        if (!has_status_)
            status_ = 302;
    }
    if (length_ && status_ != 204)
        append("Content-Length", std::to_string(*length_));
    if (header_.empty())
        append("Status", "200 OK");  // all fields were dropped, or lenient: never an empty header
    header_ += "\r\n";
    reason_.clear();
    rest_ = body;
    return Verdict::complete;
}

// The output, with `bytes` last, is not a header. In lenient mode it is the body, all of it.
Response::Verdict Response::refuse(std::string_view bytes)
{
    if (!rules_.lenient || cgi_field_)
        return Verdict::invalid;
    header_.clear();
    if (held_.empty())
        return finish(bytes);
    held_.append(bytes);
    return finish(held_);
}

}  // namespace cgi
