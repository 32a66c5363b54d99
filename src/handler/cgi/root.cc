#include "handler/cgi/root.h"

#include "base/error.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cgi {

namespace {

// EAGAIN: something was renamed during the look-up. It needs a hostile storm to come this often.
constexpr int max_retries = 1000;

[[noreturn]] void refuse_root(const std::string& path, const std::string& why)
{
    throw StartError(exit_handler_load, "root " + path + ": " + why);
}

// Empty, with errno, when there is no such file.
std::string real_path(const std::string& path)
{
    const std::unique_ptr<char, decltype(&std::free)> found(::realpath(path.c_str(), nullptr),
                                                            &std::free);
    return found ? found.get() : "";
}

// The directory on the way to it that may not be searched; empty: all may.
std::string blocked_at(const std::string& path)
{
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        std::string part = path.substr(0, slash);
        if (::faccessat(AT_FDCWD, part.c_str(), X_OK, AT_EACCESS) != 0)
            return part;
    }
    return "";
}

std::string without_trailing_slashes(std::string path)
{
    while (path.ends_with('/'))
        path.pop_back();
    return path;
}

// The part of `path` after `directory`, where that ends at the border of a component.
std::optional<std::string_view> after(std::string_view directory, std::string_view path)
{
    if (directory.empty())
        return path;
    directory.remove_prefix(1);  // the slash at the front
    if (!path.starts_with(directory))
        return std::nullopt;
    path.remove_prefix(directory.size());
    if (!path.empty() && path.front() != '/')
        return std::nullopt;
    return path.substr(path.empty() ? 0 : 1);
}

}  // namespace

Root::Root(const std::string& directory, bool use_openat2)
    : directory_(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), given_(directory),
      use_openat2_(use_openat2)
{
    struct stat status {};
    const std::string blocked = !directory_ && errno == EACCES ? blocked_at(directory) : "";
    if (!blocked.empty())
        refuse_root(directory, "the pool's user may not search " + blocked + " (chmod +x)");
    if (!directory_ || ::fstat(directory_.get(), &status) != 0)
        refuse_root(directory, errno_text(errno));
    device_ = status.st_dev;
    inode_ = status.st_ino;
    if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0)
        refuse_root(directory, "everybody may write there (chmod o-w it)");
    const bool searchable =
        ::faccessat(directory_.get(), "", X_OK, AT_EACCESS | AT_EMPTY_PATH) == 0 || errno != EACCES;
    if (!searchable)
        refuse_root(directory, "the pool's user may not search it (chmod +x)");
    real_path_ = real_path(directory);
    if (real_path_.empty())
        refuse_root(directory, errno_text(errno));
    const std::filesystem::path absolute = std::filesystem::absolute(directory);
    // Only text is compared later: ".." after a symbolic link is not what it looks like.
    bool climbs = false;
    for (const auto& component : absolute)
        climbs = climbs || component == "..";
    path_ = climbs ? real_path_ : absolute.lexically_normal().string();
    path_ = without_trailing_slashes(path_);
    real_path_ = without_trailing_slashes(real_path_);
}

bool Root::replaced() const
{
    struct stat status {};
    return ::stat(given_.c_str(), &status) == 0 &&
           (status.st_dev != device_ || status.st_ino != inode_);
}

std::optional<std::string_view> Root::relative(std::string_view path) const
{
    const auto name = after(path_, path);
    return name ? name : after(real_path_, path);
}

UniqueFd Root::open(const std::string& name, int flags) const
{
    if (!use_openat2_)
        return open_stepwise(name, flags);
    UniqueFd file = open_confined(name, flags);
    if (file)
        return file;
    if (errno == EXDEV)
        return open_real(name, flags);
    if (errno == ENOSYS || errno == EPERM)  // EPERM: a container's filter that does not know it
        return open_stepwise(name, flags);
    return file;
}

UniqueFd Root::open_confined(const std::string& name, int flags) const
{
    open_how how{};
    how.flags = static_cast<unsigned>(flags);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    long fd = -1;
    for (int i = 0; i < max_retries; ++i) {
        fd = ::syscall(SYS_openat2, directory_.get(), name.c_str(), &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return UniqueFd(static_cast<int>(fd));
}

// The kernel counts an absolute symbolic link as an escape even where it comes back. Its target is
// only a candidate: it is opened beneath the directory too, so nothing is won by a race.
UniqueFd Root::open_real(const std::string& name, int flags) const
{
    const std::string target = real_path(path_ + "/" + name);
    if (target.empty())
        return UniqueFd();
    const auto inside = after(real_path_, std::string_view(target).substr(1));
    if (!inside) {
        errno = EXDEV;
        return UniqueFd();
    }
    return open_confined(inside->empty() ? "." : std::string(*inside), flags);
}

UniqueFd Root::open_stepwise(const std::string& name, int flags) const
{
    UniqueFd parent;
    std::size_t from = 0;
    for (;;) {
        const int at = parent ? parent.get() : directory_.get();
        const auto slash = name.find('/', from);
        const std::string component = name.substr(from, slash - from);
        if (slash == std::string::npos)
            return UniqueFd(::openat(at, component.c_str(), flags | O_NOFOLLOW));
        parent = UniqueFd(
            ::openat(at, component.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!parent)
            return parent;
        from = slash + 1;
    }
}

}  // namespace cgi
