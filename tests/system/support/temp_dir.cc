#include "tests/system/support/temp_dir.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

[[noreturn]] void fail(const std::string& what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

TempDir::TempDir()
{
    char name[] = "/tmp/tricorn-test.XXXXXX";
    if (::mkdtemp(name) == nullptr)
        fail("mkdtemp");
    path_ = name;
    // Programs of another user must be reachable beneath it.
    if (::chmod(name, 0755) != 0)
        fail("chmod");
}

TempDir::~TempDir()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::operator/(std::string_view name) const
{
    return path_ + "/" + std::string(name);
}

std::string read_file(const std::string& path)
{
    // Not a stream: a file of /proc may fail in the middle, when its process goes.
    std::string content;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return content;
    char buffer[16384];
    for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;)
        content.append(buffer, static_cast<std::size_t>(got));
    ::close(fd);
    return content;
}

void write_file(const std::string& path, std::string_view content, mode_t mode)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file)
        throw std::runtime_error("cannot write " + path);
    if (::chmod(path.c_str(), mode) != 0)
        fail(path);
}

void append_file(const std::string& path, std::string_view content)
{
    std::ofstream file(path, std::ios::binary | std::ios::app);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
}

bool exists(const std::string& path)
{
    struct stat ignored {};
    return ::lstat(path.c_str(), &ignored) == 0;
}

std::size_t count_of(std::string_view text, std::string_view part)
{
    std::size_t count = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

bool is_root()
{
    return ::geteuid() == 0;
}

const char* pool_user()
{
    return "www-data";
}

std::string user_line()
{
    return is_root() ? std::string("user = ") + pool_user() + "\n" : "";
}

void give_to_pool(const std::string& path)
{
    if (!is_root())
        return;
    const struct passwd* user = ::getpwnam(pool_user());
    if (user == nullptr)
        throw std::runtime_error(std::string("no user ") + pool_user());
    if (::lchown(path.c_str(), user->pw_uid, user->pw_gid) != 0)
        fail(path);
}
