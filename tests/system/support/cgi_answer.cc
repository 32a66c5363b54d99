#include "tests/system/support/cgi_answer.h"

#include <stdexcept>

#include <strings.h>

namespace {

bool same_name(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view take_line(std::string_view& text)
{
    const auto end = text.find('\n');
    if (end == std::string_view::npos)
        throw std::runtime_error("no end of the header in: " + std::string(text.substr(0, 200)));
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    return line;
}

}  // namespace

std::vector<std::string> CgiAnswer::all(std::string_view name) const
{
    std::vector<std::string> values;
    for (const auto& [key, value] : headers)
        if (same_name(key, name))
            values.push_back(value);
    return values;
}

std::optional<std::string> CgiAnswer::header(std::string_view name) const
{
    const auto values = all(name);
    return values.empty() ? std::nullopt : std::optional(values.front());
}

CgiAnswer parse_answer(std::string_view output)
{
    CgiAnswer answer;
    for (std::string_view line = take_line(output); !line.empty(); line = take_line(output)) {
        const auto colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0)
            throw std::runtime_error("no header field: " + std::string(line));
        auto value = line.substr(colon + 1);
        while (!value.empty() && value.front() == ' ')
            value.remove_prefix(1);
        answer.headers.emplace_back(line.substr(0, colon), value);
    }
    if (answer.headers.empty())
        throw std::runtime_error("a header block without a field");
    if (const auto status = answer.header("Status"))
        answer.status = std::stoi(*status);
    else if (answer.header("Location"))
        answer.status = 302;
    answer.body = output;
    return answer;
}

std::vector<std::pair<std::string, std::string>> parse_entries(std::string_view body)
{
    std::vector<std::pair<std::string, std::string>> entries;
    while (!body.empty()) {
        const auto end = body.find('\0');
        const auto text = body.substr(0, end);
        const auto equals = text.find('=');
        entries.emplace_back(text.substr(0, equals),
                             equals == std::string_view::npos ? "" : text.substr(equals + 1));
        body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
    }
    return entries;
}

std::string entry(std::string_view body, std::string_view name, std::string_view absent)
{
    for (const auto& [key, value] : parse_entries(body))
        if (key == name)
            return value;
    return std::string(absent);
}
