// cgi_header_fuzz.cc - the header of a program's reply: any bytes, in pieces of any size. Input
// byte 0: bit 0 lenient, bit 1 local_redirect, the rest which sizes the pieces have; then what the
// program writes. Checks   the answer does not depend on the pieces; a header that is passed on is
// one that no web server can read in two ways; what is refused and accepted is what a slow reader,
// written apart, refuses and accepts; no byte of the body is lost or made up.
#include "handler/cgi/response.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Verdict = cgi::Response::Verdict;

constexpr std::size_t max_header = 512;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

struct Answer {
    bool complete = false;
    std::string header;
    std::string body;
    int status = 0;
    bool has_body = false;
    std::optional<std::uint64_t> length;

    bool operator==(const Answer&) const = default;
};

// `sizes` 0: all at once; else pieces of ever other sizes.
Answer read(std::string_view output, const cgi::ResponseRules& rules, std::uint32_t sizes)
{
    cgi::Response response(rules);
    Verdict verdict = Verdict::more;
    std::vector<char> piece;  // of its own, so that a sanitizer sees what is kept too long
    while (verdict == Verdict::more && !output.empty()) {
        std::size_t take = output.size();
        if (sizes != 0)
            take = std::min<std::size_t>(
                take, 1 + ((sizes = sizes * 1'103'515'246u + 12'346u) >> 16) % 24);
        piece.assign(output.begin(), output.begin() + static_cast<std::ptrdiff_t>(take));
        output.remove_prefix(take);
        verdict = response.feed({piece.data(), piece.size()});
    }
    if (verdict == Verdict::more)
        verdict = response.end();
    require(verdict != Verdict::more);
    if (verdict == Verdict::invalid) {
        require(!response.reason().empty() && response.reason().size() < 1'000);
        for (const char c : response.reason())
            require(static_cast<unsigned char>(c) >= ' ' || c == '\t');
        return {};
    }
    return {true,
            response.header(),
            std::string(response.rest()).append(output),
            response.status(),
            response.has_body(),
            response.content_length()};
}

// --- the slow reader
// ------------------------------------------------------------------------------

std::string small(std::string text)
{
    for (char& c : text)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::string stripped(std::string text)
{
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.erase(0, 1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.pop_back();
    return text;
}

bool printable(const std::string& text)
{
    return std::none_of(text.begin(), text.end(), [](char c) {
        return (c >= 0 && c < 32 && c != '\t') || c == 127;
    });
}

bool word(const std::string& text)
{
    static const std::string marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c > 0 && std::isalnum(static_cast<unsigned char>(c)) != 0) ||
               (c != 0 && marks.find(c) != std::string::npos);
    });
}

class Slow {
public:
    // What strict mode must say; nullopt: refused.
    static std::optional<Answer> answer(const std::string& output)
    {
        Slow slow;
        std::size_t at = 0;
        for (bool first = true;; first = false) {
            const auto end = output.find('\n', at);
            if (end == std::string::npos || end >= max_header)
                return std::nullopt;
            std::string line = output.substr(at, end - at);
            at = end + 1;
            if (line.ends_with('\r'))
                line.pop_back();
            if (line.empty())
                return first ? std::optional<Answer>() : slow.finish(output.substr(at));
            if (!slow.line(line, first))
                return std::nullopt;
        }
    }

private:
    bool line(const std::string& line, bool first)
    {
        return first && line.starts_with("HTTP/") ? http(line) : field(line);
    }

    bool http(const std::string& line)
    {
        const std::string version = line.substr(0, 9);
        return (version == "HTTP/1.0 " || version == "HTTP/1.1 ") && printable(line) &&
               set_status(stripped(line.substr(9)));
    }

    bool field(const std::string& line)
    {
        const auto colon = line.find(':');
        if (colon == std::string::npos || !word(line.substr(0, colon)))
            return false;
        const std::string name = small(line.substr(0, colon));
        const std::string value = stripped(line.substr(colon + 1));
        if (!printable(value))
            return false;
        if (name == "status")
            return set_status(value);
        if (name == "location") {
            const bool same = !location_ || *location_ == value;
            location_ = value;
            return same;
        }
        return name != "content-length" || set_length(value);
    }

    bool set_status(const std::string& value)
    {
        for (std::size_t i = 0; i < 3; ++i)
            if (i >= value.size() || value[i] < '0' || value[i] > '9')
                return false;
        if (value.size() > 3 && value[3] != ' ' && value[3] != '\t')
            return false;
        const int status = std::stoi(value.substr(0, 3));
        const bool same = status_ == 0 || status_ == status;
        status_ = status;
        return same && status >= 200 && status < 600;
    }

    bool set_length(std::string value)
    {
        if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos)
            return false;
        while (value.size() > 1 && value[0] == '0')
            value.erase(0, 1);
        static const std::string most = "18446744073709551615";
        if (value.size() > most.size() || (value.size() == most.size() && value > most))
            return false;
        const bool same = !length_ || *length_ == value;
        length_ = value;
        return same;
    }

    Answer finish(std::string body) const
    {
        Answer answer;
        answer.complete = true;
        answer.body = std::move(body);
        answer.status = status_ != 0 ? status_ : location_ ? 302 : 200;
        answer.has_body = answer.status != 204 && answer.status != 304;
        if (length_)
            answer.length = std::stoull(*length_);
        return answer;
    }

    int status_ = 0;
    std::optional<std::string> location_;
    std::optional<std::string> length_;
};

// --- what is passed on
// ----------------------------------------------------------------------------

void check_header(const Answer& answer)
{
    static const std::set<std::string> dropped = {
        "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"};
    require(answer.status >= 200 && answer.status <= 599);
    require(answer.header.size() > 4 && answer.header.ends_with("\r\n\r\n"));
    std::multiset<std::string> seen;
    for (std::size_t at = 0; at + 2 < answer.header.size();) {
        const std::size_t end = answer.header.find("\r\n", at);
        const std::string line = answer.header.substr(at, end - at);
        at = end + 2;
        const auto colon = line.find(':');
        require(colon != std::string::npos && word(line.substr(0, colon)) && printable(line));
        const std::string name = small(line.substr(0, colon));
        require(!dropped.contains(name) && name.rfind("proxy-", 0) != 0);
        seen.insert(name);
        if (name == "status")
            require(std::stoi(line.substr(colon + 1)) == answer.status);
        if (name == "content-length")
            require(stripped(line.substr(colon + 1)) == std::to_string(answer.length.value()));
    }
    require(seen.count("status") <= 1 && seen.count("location") <= 1);
    require(seen.count("content-length") ==
            (answer.length.has_value() && answer.status != 204 ? 1 : 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::string output(reinterpret_cast<const char*>(data) + 1, size - 1);
    cgi::ResponseRules rules;
    rules.max_header_size = max_header;
    rules.lenient = (data[0] & 1) != 0;
    rules.local_redirect = (data[0] & 2) != 0;

    const Answer whole = read(output, rules, 0);
    require(whole == read(output, rules, data[0] + 1u));
    const auto expected = Slow::answer(output);
    if (whole.complete) {
        check_header(whole);
        require(output.ends_with(whole.body));
    }
    if (!rules.lenient)
        require(whole.complete == expected.has_value());
    if (expected) {
        require(whole.complete);  // lenient mode accepts more, never less
        const bool handed_over = whole.header.find("X-Accel-Redirect: /") != std::string::npos;
        require(whole.status == expected->status || (handed_over && rules.local_redirect));
        require(whole.body == expected->body && whole.has_body == expected->has_body);
        require(whole.length == expected->length);
    } else if (whole.complete) {
        const bool blank = output.starts_with('\n') || output.starts_with("\r\n");
        require(whole.header == "Status: 200 OK\r\n\r\n" && (blank || whole.body == output));
    }
    return 0;
}
