#include "handler/cgi/sent_path.h"

#include <algorithm>

namespace cgi {

SentPath::SentPath(std::string_view sent) : raw(sent)
{
    std::size_t from = 0;
    while (from < raw.size()) {
        const std::size_t end = std::min(raw.find('/', from), raw.size());
        const std::string_view component = raw.substr(from, end - from);
        from = end + 1;
        if (component.empty() || component == ".")
            continue;
        if (!name.empty())
            name += '/';
        name += component;
        ends.push_back({name.size(), end});
    }
}

void SentPath::skip(std::size_t bytes)
{
    const auto first = std::find_if(
        ends.begin(), ends.end(), [bytes](const End& end) { return end.name > bytes; });
    ends.erase(ends.begin(), first);
    for (End& end : ends)
        end.name -= bytes;
    name.erase(0, bytes);
}

namespace {

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Once; what is no %XX stays.
std::string percent_decoded(std::string_view text)
{
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool encoded = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                             hex_digit(text[i + 2]) >= 0;
        decoded += encoded ? static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]))
                           : text[i];
        i += encoded ? 2 : 0;
    }
    return decoded;
}

}  // namespace

bool has_dot_dot(std::string_view path)
{
    for (std::size_t at = path.find(".."); at != path.npos; at = path.find("..", at + 1)) {
        const bool begins = at == 0 || path[at - 1] == '/';
        if (begins && (at + 2 == path.size() || path[at + 2] == '/'))
            return true;
    }
    return false;
}

std::string_view without_proxy(std::string_view file)
{
    if (!file.starts_with("proxy:"))
        return file;
    const auto scheme = file.find("://");
    const auto slash = scheme == file.npos ? file.npos : file.find('/', scheme + 3);
    if (slash == file.npos)
        return {};
    file.remove_prefix(slash);
    return file.substr(0, file.find('?'));
}

std::string decoded_like(std::string_view file, std::string_view uri)
{
    const auto percent = file.find('%');
    const auto slash = percent == file.npos ? file.npos : file.rfind('/', percent);
    if (slash == file.npos || uri.ends_with(file.substr(slash)))
        return std::string(file);
    const std::string decoded = percent_decoded(file.substr(slash));
    return std::string(file.substr(0, slash))
        .append(uri.ends_with(decoded) ? decoded : file.substr(slash));
}

std::optional<std::string_view> beneath_mount(std::string_view mount, std::string_view path)
{
    if (!path.starts_with(mount))
        return std::nullopt;
    path.remove_prefix(mount.size());
    if (!path.empty() && path.front() != '/')
        return std::nullopt;
    return path;
}

}  // namespace cgi
