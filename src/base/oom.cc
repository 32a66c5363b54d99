#include "base/oom.h"

#include "base/text.h"

#include <algorithm>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace oom {

namespace {

// These files have a few hundred bytes, /proc/vmstat some thousand.
constexpr std::size_t longest_file = 16'384;

constexpr Duration lately{3'000};

std::string read_file(int fd)
{
    std::string text(longest_file, '\0');
    const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return text;
}

UniqueFd open_file(const std::string& path)
{
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::string_view next_part(std::string_view& text, char end)
{
    const std::size_t length = std::min(text.find(end), text.size());
    const std::string_view part = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    return part;
}

bool is_member(std::string_view list, std::string_view word)
{
    while (!list.empty())
        if (next_part(list, ',') == word)
            return true;
    return false;
}

std::string in_group(std::string file, std::string_view group, std::string_view name)
{
    if (group != "/")
        file += group;
    file += name;
    return file;
}

}  // namespace

// A line is "0::/path" in version 2, "4:memory:/path" in version 1.
std::vector<std::string> counter_files(std::string_view cgroup)
{
    std::vector<std::string> files;
    while (!cgroup.empty()) {
        std::string_view line = next_part(cgroup, '\n');
        const bool unified = next_part(line, ':') == "0";
        const std::string_view controllers = next_part(line, ':');
        if (is_member(controllers, "memory"))
            files.push_back(in_group("/sys/fs/cgroup/memory", line, "/memory.oom_control"));
        else if (unified && controllers.empty())
            files.push_back(in_group("/sys/fs/cgroup", line, "/memory.events"));
    }
    files.emplace_back("/proc/vmstat");
    return files;
}

std::optional<std::uint64_t> read_counter(std::string_view file)
{
    while (!file.empty()) {
        std::string_view line = next_part(file, '\n');
        if (next_part(line, ' ') == "oom_kill")
            return text::to_number<std::uint64_t>(line);
    }
    return std::nullopt;
}

Watch::Watch()
{
    const UniqueFd cgroup = open_file("/proc/self/cgroup");
    for (const std::string& path : counter_files(cgroup ? read_file(cgroup.get()) : "")) {
        file_ = open_file(path);
        last_ = read();
        if (last_)
            return;
    }
}

void Watch::look(TimePoint now)
{
    const auto count = read();
    const auto before = std::exchange(last_, count);
    if (count && before && *count > *before)
        last_kill_ = now;
}

std::optional<bool> Watch::killed_lately(TimePoint now)
{
    look(now);
    if (!last_)
        return std::nullopt;
    return last_kill_ != TimePoint::min() && now - last_kill_ < lately;
}

std::optional<std::uint64_t> Watch::read() const
{
    return file_ ? read_counter(read_file(file_.get())) : std::nullopt;
}

}  // namespace oom
