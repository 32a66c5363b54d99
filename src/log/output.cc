#include "log/output.h"

#include "base/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

namespace logging {

namespace {

// How long one line may hold up the server when a reader is slow.
constexpr int patience = 100;  // milliseconds

// Whoever else can write the directory could have root write to any file by a symbolic link.
int no_link_of_others(const std::string& path)
{
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    struct stat status {};
    const bool shared = ::geteuid() == 0 && ::stat(directory.c_str(), &status) == 0 &&
                        (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0);
    return shared ? O_NOFOLLOW : 0;
}

// Non-blocking: a FIFO without a reader must not stop the start. O_RDWR makes opening it succeed,
// and the first lines wait there for the reader.
UniqueFd open_file(const std::string& path)
{
    const int flags =
        O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | no_link_of_others(path);
    UniqueFd fd(::open(path.c_str(), O_WRONLY | flags, 0640));
    if (!fd && errno == ENXIO)
        fd = UniqueFd(::open(path.c_str(), O_RDWR | flags, 0640));
    return fd;
}

bool may_block(int fd)
{
    struct stat status {};
    return ::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || ::isatty(fd) == 1);
}

// Another description of the same file: the flags of the first one show in every process that
// shares it. Empty without /proc, for sockets, and when the file is another user's.
UniqueFd open_again(int fd)
{
    const auto link = "/proc/self/fd/" + std::to_string(fd);
    return UniqueFd(::open(link.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
}

// Whoever listens there takes whole messages; the connection breaks when it ends.
UniqueFd connect_syslog()
{
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address{AF_UNIX, _PATH_LOG};
    if (fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        fd.reset();
    return fd;
}

bool is_socket(int fd)
{
    struct stat status {};
    return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

Output Output::standard(int fd)
{
    Output output;
    if (may_block(fd))
        output.owned_ = open_again(fd);
    output.blocking_ = !output.owned_ && may_block(fd);
    output.fd_ = output.owned_ ? output.owned_.get() : fd;
    output.socket_ = is_socket(fd);
    return output;
}

Output Output::file(std::string path)
{
    Output output;
    output.owned_ = open_file(path);
    if (!output.owned_)
        throw_errno("cannot open the log file " + path +
                    (errno == ELOOP ? ", a symbolic link where others than root can write" : ""));
    output.fd_ = output.owned_.get();
    output.path_ = std::move(path);
    return output;
}

Output Output::syslog()
{
    Output output;
    output.path_ = _PATH_LOG;
    output.syslog_ = true;
    UniqueFd fd = connect_syslog();
    output.error_ = fd ? 0 : errno;
    output.adopt(std::move(fd));
    return output;
}

bool Output::write(std::string_view line) noexcept
{
    const bool written =
        syslog_ ? write_message(line) : (!cut_ || write_all("\n")) && write_all(line);
    if (!written)
        ++lost_;
    return written;
}

bool Output::write_message(std::string_view line) noexcept
{
    if (line.ends_with('\n'))
        line.remove_suffix(1);
    if (write_all(line))
        return true;
    if (error_ == EAGAIN || error_ == EMSGSIZE)
        return false;
    // It was started anew since the last line.
    UniqueFd fresh = connect_syslog();
    if (!fresh) {
        error_ = errno;
        return false;
    }
    adopt(std::move(fresh));
    return write_all(line);
}

bool Output::write_all(std::string_view bytes) noexcept
{
    int left_ms = lost_ > 0 ? 0 : patience;
    cut_ = false;
    for (std::size_t done = 0; done < bytes.size();) {
        if (blocking_ && !wait_writable(left_ms)) {
            error_ = EAGAIN;
            cut_ = done > 0;
            return false;
        }
        const ssize_t n = write_some(bytes.substr(done));
        if (n > 0) {
            done += static_cast<std::size_t>(n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        error_ = n < 0 ? errno : EIO;
        if (error_ != EAGAIN || left_ms-- <= 0 || !wait_writable(left_ms)) {
            cut_ = done > 0;
            return false;
        }
    }
    return true;
}

ssize_t Output::write_some(std::string_view bytes) const noexcept
{
    if (socket_)
        return ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // A pipe that poll(2) calls writable takes PIPE_BUF bytes without blocking, not more.
    return ::write(fd_,
                   bytes.data(),
                   blocking_ ? std::min<std::size_t>(bytes.size(), PIPE_BUF) : bytes.size());
}

// False when the time is up. What is left of it is for the rest of the same line.
bool Output::wait_writable(int& patience_ms) const noexcept
{
    constexpr int step = 10;
    pollfd ready{fd_, POLLOUT, 0};
    for (;;) {
        const int wait = std::min(patience_ms, step);
        if (::poll(&ready, 1, wait) > 0)
            return true;
        if (wait <= 0)
            return false;
        patience_ms -= wait;
    }
}

bool Output::reopen() noexcept
{
    if (path_.empty())
        return true;
    UniqueFd fresh = syslog_ ? connect_syslog() : open_file(path_);
    error_ = fresh ? 0 : errno;
    adopt(std::move(fresh));
    return error_ == 0;
}

UniqueFd Output::share() const noexcept
{
    UniqueFd fd = open_again(fd_);
    return fd ? std::move(fd) : UniqueFd(::fcntl(fd_, F_DUPFD_CLOEXEC, 3));
}

void Output::separate() noexcept
{
    if (owned_ && !socket_)
        adopt(open_again(fd_));
}

void Output::connect_again() noexcept
{
    if (syslog_)
        adopt(connect_syslog());
}

void Output::adopt(UniqueFd fd) noexcept
{
    if (!fd)
        return;
    owned_ = std::move(fd);
    fd_ = owned_.get();
    socket_ = is_socket(fd_);
    blocking_ = false;
    cut_ = false;
}

std::string syslog_head(int severity)
{
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    std::array<char, 32> time{};
    const std::size_t length = std::strftime(time.data(), time.size(), "%b %e %H:%M:%S", &local);
    return "<" + std::to_string(LOG_DAEMON | severity) + ">" + std::string(time.data(), length) +
           " tricorn[" + std::to_string(::getpid()) + "]: ";
}

}  // namespace logging
