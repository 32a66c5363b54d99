#include "base/error.h"

#include <cerrno>
#include <system_error>

void throw_errno(const std::string& what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

std::string errno_text(int error)
{
    return std::generic_category().message(error);
}
