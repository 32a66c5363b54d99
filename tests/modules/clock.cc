/* clock.cc - preloaded into a server, puts its wall clock off by as many seconds as the file
 * TEST_CLOCK says, whenever that changes. The steady clock goes right. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t offset(void)
{
    static const volatile int64_t* shared = nullptr;
    if (shared == nullptr) {
        const char* path = getenv("TEST_CLOCK");
        const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        void* memory =
            fd < 0 ? MAP_FAILED : mmap(nullptr, sizeof *shared, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0)
            close(fd);
        if (memory == MAP_FAILED)
            return 0;
        shared = static_cast<const volatile int64_t*>(memory);
    }
    return *shared;
}

// The names of the C library's parameters are not for others to use.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" int clock_gettime(clockid_t clock, struct timespec* now) noexcept
{
    const int result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return result;
}

extern "C" int gettimeofday(struct timeval* now, void* /*zone*/) noexcept
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

extern "C" time_t time(time_t* now) noexcept
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now != nullptr)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
