// inside.h - looks at a file as processes in a chroot will see it, without entering the chroot.
// Errors   false, with errno.
// Owner    check().
// Source   openat2(2) RESOLVE_IN_ROOT: absolute symbolic links and ".." stay inside.
#pragma once

#include <string>

#include <sys/stat.h>

namespace config {

// As stat(2). `chroot` is empty for a process without one.
bool stat_inside(const std::string& chroot, const std::string& path, struct stat& status);

}  // namespace config
