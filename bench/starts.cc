// starts.cc - how often this machine can start a program: processes that do nothing but start it,
// read what it prints and wait for its end. No server can answer more requests with that program.
// usage: starts PROCESSES SECONDS PROGRAM; prints "rate N", programs per second.
// Errors   exit status 64 for a wrong command line, 1 when the program cannot be run.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// One program from its start to its end.
bool run(const char* program)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return false;
    // The cheapest way there is, and so the limit.
    const pid_t pid = ::vfork();  // NOLINT(clang-analyzer-security.insecureAPI.vfork)
    if (pid == 0) {
        if (::dup2(ends[1], STDOUT_FILENO) >= 0)
            ::execl(program, program, nullptr);
        ::_exit(127);
    }
    ::close(ends[1]);
    char buffer[4096];
    while (::read(ends[0], buffer, sizeof buffer) > 0) {
    }
    ::close(ends[0]);
    int status = 0;
    return ::waitpid(pid, &status, 0) == pid && status == 0;
}

// A process's share; exits with what it counted at the other end of the pipe.
[[noreturn]] void run_until(Clock::time_point end, const char* program, int result)
{
    long count = 0;
    while (Clock::now() < end) {
        if (!run(program))
            ::_exit(EXIT_FAILURE);
        ++count;
    }
    ::_exit(::write(result, &count, sizeof count) == sizeof count ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace

int main(int argc, char** argv)
{
    const int processes = argc == 4 ? std::atoi(argv[1]) : 0;
    const Seconds duration{argc == 4 ? std::atof(argv[2]) : 0};
    if (processes < 1 || duration.count() <= 0) {
        std::fputs("usage: starts PROCESSES SECONDS PROGRAM\n", stderr);
        return EX_USAGE;
    }
    int results[2];
    if (::pipe2(results, O_CLOEXEC) != 0)
        return EXIT_FAILURE;
    ::setenv("REQUEST_METHOD", "GET", 1);
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(duration);
    for (int i = 0; i < processes; ++i)
        if (::fork() == 0)
            run_until(end, argv[3], results[1]);
    ::close(results[1]);
    long all = 0;
    long count = 0;
    while (::read(results[0], &count, sizeof count) == sizeof count)
        all += count;
    const Seconds took = Clock::now() - begin;
    int status = 0;
    while (::wait(&status) > 0)
        if (status != 0) {
            std::fprintf(stderr, "starts: %s cannot be run\n", argv[3]);
            return EXIT_FAILURE;
        }
    std::printf("rate %.1f\n", static_cast<double>(all) / took.count());
    return EXIT_SUCCESS;
}
