#include "base/pid_file.h"

#include "base/error.h"
#include "base/unique_fd.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

// The process that the file names; 0 when there is no such file, or nothing like a number in it.
pid_t read_pid(const std::string& path)
{
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    char text[32] = {};
    if (!file || ::read(file.get(), text, sizeof text - 1) <= 0)
        return 0;
    const long pid = std::strtol(text, nullptr, 10);
    return pid > 0 && pid <= INT_MAX ? static_cast<pid_t>(pid) : 0;
}

// "4711 (name) Z 1 ...": the parent has not taken notice yet of a server that was killed.
bool is_zombie(pid_t pid)
{
    const UniqueFd file(
        ::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
    char text[256] = {};
    if (!file || ::read(file.get(), text, sizeof text - 1) <= 0)
        return false;
    const char* const name_end = std::strrchr(text, ')');
    return name_end != nullptr && std::strncmp(name_end, ") Z", 3) == 0;
}

bool alive(pid_t pid)
{
    return (::kill(pid, 0) == 0 || errno == EPERM) && !is_zombie(pid);
}

}  // namespace

PidFile::PidFile(std::string path) : path_(std::move(path)), owner_(::getpid())
{
    const pid_t other = read_pid(path_);
    if (other != 0 && other != owner_ && alive(other)) {
        const std::string text = "already running as process " + std::to_string(other) +
                                 " (or the pid file " + path_ + " is stale: remove it then)";
        throw StartError(exit_failure, text);
    }
    // Under its name the file is always complete: others may read it at any moment.
    std::string draft = path_ + ".XXXXXX";
    const UniqueFd file(::mkostemp(draft.data(), O_CLOEXEC));
    if (!file)
        throw_errno("pid file " + path_);
    const std::string text = std::to_string(owner_) + "\n";
    const bool written =
        ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (!written || ::fchmod(file.get(), 0644) != 0 ||
        ::rename(draft.c_str(), path_.c_str()) != 0) {
        const int error = errno;
        ::unlink(draft.c_str());
        errno = error;
        throw_errno("pid file " + path_);
    }
}

PidFile::PidFile(PidFile&& other) noexcept
    : path_(std::move(other.path_)), owner_(std::exchange(other.owner_, 0))
{
}

PidFile& PidFile::operator=(PidFile&& other) noexcept
{
    std::swap(path_, other.path_);
    std::swap(owner_, other.owner_);
    return *this;
}

void PidFile::move_to(const std::string& path)
{
    if (owner_ == 0 || path == path_)
        return;
    if (::rename(path_.c_str(), path.c_str()) != 0)
        throw_errno("pid file " + path);
    path_ = path;
}

PidFile::~PidFile()
{
    if (owner_ != 0 && owner_ == ::getpid() && read_pid(path_) == owner_)
        ::unlink(path_.c_str());
}
