#include "log/access_format.h"

#include "base/process.h"
#include "base/text.h"
#include "log/access_json.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace {

constexpr std::string_view default_format =
    R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(script)s )"
    "%(program_time)s %(exit)s";

using Entry = AccessEntry;
using Piece = AccessFormat::Piece;
using Failure = AccessFormat::Error;

void append_value(std::string& out, std::string_view value)
{
    if (value.empty())
        out += '-';
    else
        text::append_quoted(out, value);
}

void append_parameter(std::string& out, const Entry& entry, const std::string& name)
{
    append_value(out, entry.params.get(name));
}

// A request header: HTTP_USER_AGENT for "User-Agent"; `name` was turned into that when compiled.
std::string parameter_of_header(std::string_view header)
{
    std::string name;
    for (const char c : header)
        name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return name == "CONTENT_TYPE" || name == "CONTENT_LENGTH" ? name : "HTTP_" + name;
}

void append_reply_header(std::string& out, const Entry& entry, const std::string& name)
{
    auto rest = entry.header;
    while (!rest.empty()) {
        auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        const auto colon = line.find(':');
        if (colon != line.npos && text::equal_ignoring_case(line.substr(0, colon), name))
            return append_value(out, text::trim(line.substr(colon + 1)));
    }
    out += '-';
}

void append_literal(std::string& out, const Entry& /*entry*/, const std::string& literal)
{
    out += literal;
}

void append_dash(std::string& out, const Entry& /*entry*/, const std::string& /*name*/)
{
    out += '-';
}

void append_start(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    const std::time_t seconds = std::chrono::system_clock::to_time_t(entry.start);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    // The names of the months in English: nothing here calls setlocale(3).
    std::array<char, 40> text{};
    const auto length = std::strftime(text.data(), text.size(), "[%d/%b/%Y:%H:%M:%S %z]", &local);
    out.append(text.data(), length);
}

void append_request_line(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    append_value(out, entry.params.get("REQUEST_METHOD"));
    out += ' ';
    append_value(out, request_uri(entry));
    out += ' ';
    append_value(out, entry.params.get("SERVER_PROTOCOL"));
}

void append_path(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    const auto uri = request_uri(entry);
    append_value(out, uri.substr(0, uri.find('?')));
}

void append_status(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += entry.status == 0 ? "-" : std::to_string(entry.status);
}

void append_bytes(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += std::to_string(entry.bytes);
}

void append_bytes_or_dash(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += entry.bytes == 0 ? "-" : std::to_string(entry.bytes);
}

void append_seconds(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += std::to_string(entry.elapsed.count() / 1'000'000);
}

void append_milliseconds(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += std::to_string(entry.elapsed.count() / 1000);
}

void append_microseconds(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += std::to_string(entry.elapsed.count());
}

void append_decimal_seconds(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    const auto us = static_cast<long long>(entry.elapsed.count());
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%lld.%06lld", us / 1'000'000, us % 1'000'000);
    out += text.data();
}

void append_worker(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += '<' + std::to_string(entry.worker) + '>';
}

void append_script(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    append_value(out, entry.script);
}

void append_pool(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    append_value(out, entry.pool);
}

void append_program_time(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    out += entry.program_time ? std::to_string(entry.program_time->count()) : "-";
}

void append_exit(std::string& out, const Entry& entry, const std::string& /*name*/)
{
    if (entry.exit_signal)
        out += signal_name(*entry.exit_signal);
    else
        out += entry.exit_status ? std::to_string(*entry.exit_status) : "-";
}

struct Atom {
    const char* name;
    AccessFormat::Appender append;
    const char* parameter;  // what append_parameter() looks up
};

constexpr Atom atoms[] = {
    {"h", append_parameter, "REMOTE_ADDR"},
    {"l", append_dash, ""},
    {"u", append_parameter, "REMOTE_USER"},
    {"t", append_start, ""},
    {"r", append_request_line, ""},
    {"m", append_parameter, "REQUEST_METHOD"},
    {"U", append_path, ""},
    {"q", append_parameter, "QUERY_STRING"},
    {"H", append_parameter, "SERVER_PROTOCOL"},
    {"s", append_status, ""},
    {"B", append_bytes, ""},
    {"b", append_bytes_or_dash, ""},
    {"f", append_parameter, "HTTP_REFERER"},
    {"a", append_parameter, "HTTP_USER_AGENT"},
    {"T", append_seconds, ""},
    {"M", append_milliseconds, ""},
    {"D", append_microseconds, ""},
    {"L", append_decimal_seconds, ""},
    {"p", append_worker, ""},
    {"script", append_script, ""},
    {"pool", append_pool, ""},
    {"program_time", append_program_time, ""},
    {"exit", append_exit, ""},
};

Piece literal(std::string_view text)
{
    return {append_literal, text::escape_control(text)};
}

// %({NAME}i)s and its like; `atom` is "{NAME}i".
Result<Piece, Failure> compile_named(std::string_view atom)
{
    const auto close = atom.find('}');
    const auto name = atom.substr(1, close == atom.npos ? atom.npos : close - 1);
    const auto kind = close == atom.npos ? "" : atom.substr(close + 1);
    if (name.empty())
        return Failure{"a name is missing"};
    if (kind == "i")
        return Piece{append_parameter, parameter_of_header(name)};
    if (kind == "o")
        return Piece{append_reply_header, std::string(name)};
    if (kind == "e")
        return Piece{append_parameter, std::string(name)};
    return Failure{"after {NAME} comes i (request header), o (reply header) or e (parameter)"};
}

Result<Piece, Failure> compile_atom(std::string_view atom)
{
    if (atom.starts_with('{'))
        return compile_named(atom);
    const auto* const found = std::find_if(
        std::begin(atoms), std::end(atoms), [&](const Atom& a) { return a.name == atom; });
    if (found == std::end(atoms))
        return Failure{"there is no such atom"};
    return Piece{found->append, found->parameter};
}

// Takes one "%(ATOM)s" or "%%" off the front of `rest`.
Result<Piece, Failure> take_atom(std::string_view& rest)
{
    if (rest.starts_with("%%")) {
        rest.remove_prefix(2);
        return literal("%");
    }
    const auto close = rest.find(')');
    if (!rest.starts_with("%(") || rest.substr(0, close).find("%(", 2) != rest.npos)
        return Failure{"a percent sign begins %(ATOM)s or %%"};
    if (close == rest.npos || !rest.substr(close + 1).starts_with('s'))
        return Failure{"an atom ends in )s"};
    auto piece = compile_atom(rest.substr(2, close - 2));
    rest.remove_prefix(close + 2);
    return piece;
}

}  // namespace

Result<AccessFormat, AccessFormat::Error> AccessFormat::compile(std::string_view format)
{
    AccessFormat compiled;
    if (format == "json") {
        compiled.pieces_.push_back({append_json, ""});
        return compiled;
    }
    std::string_view rest = format == "default" ? default_format : format;
    while (!rest.empty()) {
        const auto text = rest.substr(0, rest.find('%'));
        if (!text.empty())
            compiled.pieces_.push_back(literal(text));
        rest.remove_prefix(text.size());
        if (rest.empty())
            break;
        const auto before = rest;
        auto piece = take_atom(rest);
        if (!piece) {
            const auto end = std::min(before.find(")s"), before.size() - 2) + 2;
            return Error{"\"" + text::escape_control(before.substr(0, end)) +
                         "\": " + piece.error().text};
        }
        compiled.pieces_.push_back(std::move(piece.value()));
    }
    return compiled;
}
