// root.h - a directory, and the way to open what lies beneath it and nothing else.
// Errors   the constructor throws StartError, with the path in its text; open() leaves errno, EXDEV
//          when the name leads out of the directory.
// Owner    the Resolver, for the life of its worker.
// Source   openat2(2) RESOLVE_BENEATH; check-then-open by path is what CVE-2007-1741 is about.
#pragma once

#include "base/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace cgi {

class Root {
public:
    // With use_openat2 false it works as on a kernel without that call.
    explicit Root(const std::string& directory, bool use_openat2 = true);

    // `name` is relative, without "", "." and ".." components ("." alone is the directory).
    // Symbolic links are followed as long as they stay beneath; without openat2 none is.
    UniqueFd open(const std::string& name, int flags) const;

    // The name of `path` beneath the directory; both without "", "." and ".." components and
    // without a slash at the front. nullopt when it lies elsewhere. Compares text only.
    std::optional<std::string_view> relative(std::string_view path) const;

    const std::string& path() const { return path_; }  // absolute, "" for "/"

    // Another directory has been put in its place; false also when none is there.
    bool replaced() const;

private:
    UniqueFd open_confined(const std::string& name, int flags) const;
    UniqueFd open_real(const std::string& name, int flags) const;
    UniqueFd open_stepwise(const std::string& name, int flags) const;

    UniqueFd directory_;
    dev_t device_ = 0;       // of directory_
    ino_t inode_ = 0;        // likewise
    std::string given_;      // how it was opened
    std::string path_;       // as the administrator wrote it
    std::string real_path_;  // the same without symbolic links: what $realpath_root gives
    bool use_openat2_;
};

}  // namespace cgi
