#include "config/inside.h"

#include "base/unique_fd.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace config {

bool stat_inside(const std::string& chroot, const std::string& path, struct stat& status)
{
    if (chroot.empty())
        return ::stat(path.c_str(), &status) == 0;
    const UniqueFd root(::open(chroot.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root)
        return false;
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const UniqueFd file(
        static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
    if (file)
        return ::fstat(file.get(), &status) == 0;
    // An old kernel, or a container's filter that does not know it: without symbolic links that is
    // the same.
    if (errno == ENOSYS || errno == EPERM)
        return ::stat((chroot + path).c_str(), &status) == 0;
    return false;
}

}  // namespace config
