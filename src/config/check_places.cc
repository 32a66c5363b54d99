#include "config/check_places.h"

#include "base/error.h"
#include "base/pid_file.h"

#include <cerrno>

#include <sys/stat.h>

namespace config {

namespace {

std::string wrong_directory(const std::string& path)
{
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    struct stat status {};
    if (::stat(directory.c_str(), &status) == 0)
        return "";
    return errno == ENOENT ? "there is no directory " + directory + " yet"
                           : directory + ": " + errno_text(errno);
}

}  // namespace

std::string wrong_socket(const std::string& path)
{
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0)
        return S_ISSOCK(status.st_mode) ? "" : path + " is in the way and is no socket";
    return wrong_directory(path);
}

std::string wrong_log(const std::string& path)
{
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0)
        return S_ISDIR(status.st_mode) ? path + " is a directory" : "";
    return wrong_directory(path);
}

std::string wrong_pid_file(const std::string& path)
{
    const std::string obstacle = PidFile::obstacle(path);
    return obstacle.empty() ? wrong_directory(path) : obstacle;
}

}  // namespace config
