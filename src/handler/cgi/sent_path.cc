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
