#include "config/check_privileges.h"

#include "base/error.h"
#include "config/inside.h"

#include <cerrno>

#include <sys/resource.h>

namespace config {

namespace {

void check_directory(const Pool& pool,
                     std::string_view key,
                     const std::string& chroot,
                     const Complaint& problem)
{
    const std::string& path = key == "chroot" ? pool.chroot : pool.chdir;
    struct stat status {};
    if (!stat_inside(chroot, path, status))
        problem(key, where(chroot, path) + ": " + errno_text(errno) + ": name a directory");
    else if (!S_ISDIR(status.st_mode))
        problem(key, where(chroot, path) + " is not a directory");
    else if (key == "chroot" && (status.st_mode & S_IWOTH) != 0)
        problem(key,
                path + " can be written by everybody, who could replace what is in it: chmod "
                       "o-w it");
}

}  // namespace

void check_privileges(const Pool& pool,
                      bool root,
                      const Complaint& problem,
                      const Complaint& warning)
{
    if (root) {
        if (!pool.chroot.empty())
            check_directory(pool, "chroot", "", problem);
    } else {
        for (const auto& [key, value] : {std::pair("user", pool.user),
                                         std::pair("group", pool.group),
                                         std::pair("chroot", pool.chroot)})
            if (!value.empty())
                warning(key, "ignored, only root can change it");
        if (pool.nice && *pool.nice < ::getpriority(PRIO_PROCESS, 0))
            warning("nice", std::to_string(*pool.nice) + " is ignored, only root can lower it");
    }
    if (!pool.chdir.empty())
        check_directory(pool, "chdir", root ? pool.chroot : "", problem);
}

std::string where(const std::string& chroot, const std::string& path)
{
    return chroot.empty() ? path : path + " (inside the chroot " + chroot + ")";
}

}  // namespace config
