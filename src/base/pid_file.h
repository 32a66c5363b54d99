// pid_file.h - the arbiter's pid file: written whole or not at all, and locked for as long as the
// server lives, so that it is never taken from a live one, nor left to a process that has its
// number.
// Errors   throws StartError when another server holds the file, std::system_error otherwise.
// Owner    the arbiter. The file is removed with the object if it still names this process.
// Source   gunicorn's pidfile.py; fcntl(2).
#pragma once

#include "base/unique_fd.h"

#include <string>

#include <sys/types.h>

class PidFile {
public:
    PidFile() = default;  // none
    explicit PidFile(std::string path);
    PidFile(PidFile&& other) noexcept;
    PidFile& operator=(PidFile&& other) noexcept;
    ~PidFile();

    // What is there and may not be replaced, such as /dev/null, in words; empty: nothing.
    static std::string obstacle(const std::string& path);

    // Removes the file of a server that has ended, if that is the one it names.
    static void remove(const std::string& path, pid_t owner) noexcept;

    const std::string& path() const { return path_; }

    // Whether that is another name of it. Opening it by this would take the lock away.
    bool is_file(const std::string& path) const noexcept;

    // Gives the file another name, in place of what may be there. Throws std::system_error.
    void move_to(const std::string& path);

private:
    std::string path_;
    UniqueFd lock_;
    pid_t owner_ = 0;
};
