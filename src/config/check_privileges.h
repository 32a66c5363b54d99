// check_privileges.h - judges what a pool's workers give up and where they go: chroot, chdir, nice.
// Errors   each mistake is handed to `problem`, what will be ignored to `warning`, with its key.
// Owner    check().
// Source   php-fpm's checks of chroot and chdir, and its notices to users other than root.
#pragma once

#include "config/settings.h"

#include <functional>
#include <string>
#include <string_view>

namespace config {

using Complaint = std::function<void(std::string_view key, const std::string& text)>;

// `root`: the server is started by root.
void check_privileges(const Pool& pool,
                      bool root,
                      const Complaint& problem,
                      const Complaint& warning);

// The path as messages name it: with the chroot that it lies in, if any.
std::string where(const std::string& chroot, const std::string& path);

}  // namespace config
