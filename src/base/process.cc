#include "base/process.h"

#include "base/error.h"
#include "base/text.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// The memory behind argv and, right after it, environ: the one place that ps(1) reads.
char* title_begin = nullptr;
std::size_t title_room = 0;

// The environment's new strings stay for good, also those that are unset later.
char* keep(char* text)
{
    static auto* const kept = new std::vector<char*>;
    kept->push_back(text);
    return text;
}

gid_t find_group(const std::string& group)
{
    if (const ::group* entry = ::getgrnam(group.c_str()))
        return entry->gr_gid;
    if (const auto number = parse_id(group))
        return *number;
    throw StartError(exit_config, "group: there is no group " + text::in_quotes(group));
}

std::vector<gid_t> groups_of(const std::string& user, gid_t gid)
{
    if (user.empty())
        return {gid};
    int count = 32;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    while (::getgrouplist(user.c_str(), gid, groups.data(), &count) < 0) {
        groups.resize(std::max(groups.size() * 2, static_cast<std::size_t>(count)));
        count = static_cast<int>(groups.size());
    }
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

}  // namespace

std::string signal_name(int signo)
{
    const char* name = ::sigabbrev_np(signo);
    return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signo);
}

std::string describe(const ExitStatus& status)
{
    if (!status.signalled)
        return "exited with status " + std::to_string(status.code);
    const char* words = ::sigdescr_np(status.code);
    return "was killed by " + signal_name(status.code) +
           (words != nullptr ? " (" + std::string(words) + ")" : "");
}

void init_process_title(int argc, char** argv)
{
    if (argc < 1)
        return;
    title_begin = argv[0];
    const char* last = argv[argc - 1];
    title_room = static_cast<std::size_t>(last + std::strlen(last) + 1 - title_begin);
    // A title longer than the arguments may go on into the environment's strings, which lie right
    // behind them, once the environment lives elsewhere.
    char* end = title_begin + title_room;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        if (*entry == end) {
            end += std::strlen(*entry) + 1;
            title_room = static_cast<std::size_t>(end - title_begin);
        }
        *entry = keep(::strdup(*entry));
    }
}

void set_process_title(const std::string& title) noexcept
{
    if (title_room == 0)
        return;
    std::memset(title_begin, 0, title_room);
    title.copy(title_begin, title_room - 1);
    ::prctl(PR_SET_NAME, "tricorn");
}

std::optional<std::uint32_t> parse_id(std::string_view text)
{
    const auto id = text::to_number<std::uint32_t>(text);
    return id == UINT32_MAX ? std::nullopt : id;
}

Identity find_identity(const std::string& user, const std::string& group)
{
    Identity identity{::geteuid(), ::getegid(), user};
    if (!user.empty()) {
        const ::passwd* entry = ::getpwnam(user.c_str());
        if (const auto number = parse_id(user); entry == nullptr && number)
            entry = ::getpwuid(*number);
        if (entry == nullptr)
            throw StartError(exit_config, "user: there is no user " + text::in_quotes(user));
        identity = {entry->pw_uid, entry->pw_gid, entry->pw_name};
    }
    if (!group.empty())
        identity.gid = find_group(group);
    identity.groups = groups_of(identity.user, identity.gid);
    return identity;
}

void become(const Identity& identity)
{
    if (::setgroups(identity.groups.size(), identity.groups.data()) != 0)
        throw_errno("setgroups for user " + identity.user);
    if (::setresgid(identity.gid, identity.gid, identity.gid) != 0)
        throw_errno("setgid to " + std::to_string(identity.gid));
    if (::setresuid(identity.uid, identity.uid, identity.uid) != 0)
        throw_errno("setuid to " + std::to_string(identity.uid));

    uid_t uid[3];
    gid_t gid[3];
    if (::getresuid(&uid[0], &uid[1], &uid[2]) != 0 || ::getresgid(&gid[0], &gid[1], &gid[2]) != 0)
        throw_errno("reading the user back");
    for (int i = 0; i < 3; ++i)
        if (uid[i] != identity.uid || gid[i] != identity.gid)
            throw std::system_error(EPERM, std::generic_category(), "the user did not change");
    // The way back must be closed.
    if (identity.uid != 0 && ::setuid(0) == 0)
        throw std::system_error(EPERM, std::generic_category(), "root could be regained");
}

bool follow_parent(pid_t parent, int signo) noexcept
{
    return ::prctl(PR_SET_PDEATHSIG, signo) == 0 && ::getppid() == parent;
}

std::uint64_t resident_memory(pid_t pid) noexcept
{
    char path[32];
    std::snprintf(path, sizeof path, "/proc/%d/statm", pid);
    const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
    char text[128] = {};
    unsigned long long pages = 0;
    if (!file || ::read(file.get(), text, sizeof text - 1) <= 0 ||
        std::sscanf(text, "%*u %llu", &pages) != 1)
        return 0;
    return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void close_descriptors(unsigned first, unsigned last) noexcept
{
    if (::close_range(first, last, 0) == 0)
        return;
    const auto limit = static_cast<unsigned>(::sysconf(_SC_OPEN_MAX));
    for (unsigned fd = first; fd <= last && fd < limit; ++fd)
        ::close(static_cast<int>(fd));
}

void reap_strays() noexcept
{
    while (::waitpid(-1, nullptr, WNOHANG) > 0)
        ;
}
