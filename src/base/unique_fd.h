// unique_fd.h - owns a file descriptor. A plain int fd is borrowed, a UniqueFd owns.
// Errors   closing never reports one: nothing here writes through a descriptor that it closes.
#pragma once

#include <utility>

#include <fcntl.h>
#include <unistd.h>

class UniqueFd {
public:
    explicit UniqueFd(int fd = -1) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~UniqueFd()
    {
        if (fd_ >= 0)
            ::close(fd_);
    }
    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept { *this = UniqueFd(); }

private:
    int fd_;
};

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};

// Both ends are close-on-exec; `flags` are those of pipe2(2). False with errno.
inline bool open_pipe(Pipe& pipe, int flags = 0) noexcept
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | flags) != 0)
        return false;
    pipe.read = UniqueFd(ends[0]);
    pipe.write = UniqueFd(ends[1]);
    return true;
}
