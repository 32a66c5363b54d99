// vandal.cc - a module that has been taken over: fills all memory that its worker shares with the
// arbiter with the byte, or the noise, that the query string asks for, and makes every open file
// that it shares a blocking one.
#include "tricorn_module.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace {

void fill(unsigned char* begin, const unsigned char* end, const char* with)
{
    unsigned noise = 1;
    for (unsigned char* at = begin; at != end; ++at) {
        noise = noise * 1664525 + 1013904223;
        *at = static_cast<unsigned char>(*with == 'n' ? noise >> 24
                                                      : std::strtoul(with, nullptr, 16));
    }
}

void make_all_block()
{
    for (int fd = 0; fd < 256; ++fd)
        if (const int flags = ::fcntl(fd, F_GETFL); flags >= 0)
            ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

// Answers how many pieces of shared memory there were.
int fill_all(const char* with)
{
    int filled = 0;
    std::FILE* maps = std::fopen("/proc/self/maps", "re");
    char line[512];
    while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
        void* begin = nullptr;
        void* end = nullptr;
        char access[8];
        if (std::sscanf(line, "%p-%p %7s", &begin, &end, access) != 3 ||
            std::strcmp(access, "rw-s") != 0)
            continue;
        fill(static_cast<unsigned char*>(begin), static_cast<unsigned char*>(end), with);
        ++filled;
    }
    if (maps != nullptr)
        std::fclose(maps);
    return filled;
}

}  // namespace

// With VANDAL_BOASTS it ends at once, and says that it has done much.
extern "C" int tricorn_init()
{
    if (std::getenv("VANDAL_BOASTS") == nullptr)
        return 0;
    fill_all("01");
    ::_exit(1);
}

extern "C" int tricorn_handle(FCGX_ParamArray envp, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*)
{
    make_all_block();
    const int filled = fill_all(FCGX_GetParam("QUERY_STRING", envp));
    FCGX_FPrintF(out, "Content-Type: text/plain\n\nfilled %d\n", filled);
    return 0;
}
