#include "handler/cgi/owner.h"

#include "base/error.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

namespace cgi {

namespace {

using Problem = std::optional<std::string>;

std::string pair_of(uid_t uid, gid_t gid)
{
    return "user " + std::to_string(uid) + " and group " + std::to_string(gid);
}

// What holds for the program as well as for its directory.
Problem check_one(const Owner& owner, const struct stat& status, const std::string& what)
{
    if (status.st_uid != owner.uid || status.st_gid != owner.gid)
        return what + " belongs to " + pair_of(status.st_uid, status.st_gid) +
               ", and not to the pool's " + pair_of(owner.uid, owner.gid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return what + " can be written by its group or by others";
    return std::nullopt;
}

}  // namespace

Problem check_owner(const Owner& owner, int file, int directory, const std::string& path)
{
    struct stat program {};
    struct stat parent {};
    struct stat entry {};
    const std::string name = path.substr(path.rfind('/') + 1);
    if (::fstat(file, &program) != 0 || ::fstat(directory, &parent) != 0 ||
        ::fstatat(directory, name.c_str(), &entry, AT_SYMLINK_NOFOLLOW) != 0)
        return errno_text(errno);
    // Otherwise the directory that is looked at would not be the one that the program lies in.
    if (entry.st_dev != program.st_dev || entry.st_ino != program.st_ino)
        return "the program is a symbolic link, or was replaced just now";
    if (auto problem = check_one(owner, parent, "the program's directory"))
        return problem;
    if ((program.st_mode & (S_ISUID | S_ISGID)) != 0)
        return "the program is set-user-ID or set-group-ID";
    return check_one(owner, program, "the program");
}

}  // namespace cgi
