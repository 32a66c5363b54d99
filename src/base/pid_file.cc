#include "base/pid_file.h"

#include "base/error.h"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

// The process that the file names; 0 when there is no such file, or nothing like a number in it.
pid_t read_pid(const UniqueFd& file)
{
    char text[32] = {};
    if (::pread(file.get(), text, sizeof text - 1, 0) <= 0)
        return 0;
    const long pid = std::strtol(text, nullptr, 10);
    return pid > 0 && pid <= INT_MAX ? static_cast<pid_t>(pid) : 0;
}

pid_t read_pid(const std::string& path)
{
    return read_pid(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)));
}

struct flock whole_file()
{
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

// A running server holds the lock, whatever number is in the file: numbers are given again. Of the
// kind that children do not inherit: workers that outlive a killed server for a moment do not hold
// it. A file system without locks refuses nobody.
bool lock(const UniqueFd& file)
{
    const struct flock all = whole_file();
    return ::fcntl(file.get(), F_SETLK, &all) == 0 || (errno != EAGAIN && errno != EACCES);
}

bool is_locked(const UniqueFd& file)
{
    struct flock all = whole_file();
    return ::fcntl(file.get(), F_GETLK, &all) == 0 && all.l_type != F_UNLCK;
}

bool is_at(const UniqueFd& file, const std::string& path)
{
    struct stat ours {};
    struct stat there {};
    return ::fstat(file.get(), &ours) == 0 && ::stat(path.c_str(), &there) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

[[noreturn]] void refuse(const std::string& path)
{
    throw StartError(exit_failure,
                     "already running as process " + std::to_string(read_pid(path)) +
                         ", which holds the pid file " + path);
}

void refuse_obstacle(const std::string& path)
{
    if (const std::string obstacle = PidFile::obstacle(path); !obstacle.empty())
        throw StartError(exit_failure, obstacle);
}

// The file that is there already, locked while this one takes its place; empty: there is none.
UniqueFd take_stale(const std::string& path)
{
    for (;;) {
        refuse_obstacle(path);
        UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
        const bool others = !file && errno == EACCES;  // it may be replaced, if it is not in use
        if (others)
            file = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!file && errno == ENOENT)
            return file;
        if (!file)
            throw_errno("pid file " + path);
        if (others ? is_locked(file) : !lock(file))
            refuse(path);
        if (is_at(file, path))  // else it was replaced before it was locked
            return file;
    }
}

// Complete, but under another name: others may read a pid file at any moment.
UniqueFd write_draft(std::string& path, pid_t pid)
{
    UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));
    if (!file)
        return file;
    const std::string text = std::to_string(pid) + "\n";
    const bool written =
        ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (!written || ::fchmod(file.get(), 0644) != 0 || !lock(file)) {
        const int error = errno;
        ::unlink(path.c_str());
        errno = error;
        file.reset();
    }
    return file;
}

}  // namespace

std::string PidFile::obstacle(const std::string& path)
{
    struct stat status {};
    const bool other = ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
    return other ? path + " is in the way and is no pid file" : "";
}

PidFile::PidFile(std::string path) : path_(std::move(path)), owner_(::getpid())
{
    for (;;) {
        const UniqueFd stale = take_stale(path_);
        std::string draft = path_ + ".XXXXXX";
        lock_ = write_draft(draft, owner_);
        if (!lock_)
            throw_errno("pid file " + path_);
        const unsigned how = stale ? 0 : RENAME_NOREPLACE;
        if (::renameat2(AT_FDCWD, draft.c_str(), AT_FDCWD, path_.c_str(), how) == 0)
            return;
        const int error = errno;
        ::unlink(draft.c_str());
        errno = error;
        if (error != EEXIST)  // else another server was faster
            throw_errno("pid file " + path_);
    }
}

PidFile::PidFile(PidFile&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::move(other.lock_)),
      owner_(std::exchange(other.owner_, 0))
{
}

PidFile& PidFile::operator=(PidFile&& other) noexcept
{
    std::swap(path_, other.path_);
    std::swap(lock_, other.lock_);
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

void PidFile::remove(const std::string& path, pid_t owner) noexcept
{
    if (read_pid(path) == owner)
        ::unlink(path.c_str());
}

bool PidFile::is_file(const std::string& path) const noexcept
{
    return lock_ && is_at(lock_, path);
}

PidFile::~PidFile()
{
    // No other server puts a file there as long as this one is locked; to open it would end that.
    if (owner_ != 0 && owner_ == ::getpid() && is_file(path_) && read_pid(lock_) == owner_)
        ::unlink(path_.c_str());
}
