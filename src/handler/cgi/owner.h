// owner.h - suexec's rules of who a program may belong to and who may write it.
// Errors   what speaks against the program, in words for the log.
// Owner    the Resolver.
// Source   Apache's suexec, checks 116 to 120. It looks at paths and is open to whoever renames
//          them meanwhile; here everything is asked of descriptors.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

namespace cgi {

struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
};

// `file` was opened as the last component of `path`, `directory` is where that lies.
std::optional<std::string> check_owner(const Owner& owner,
                                       int file,
                                       int directory,
                                       const std::string& path);

}  // namespace cgi
