// actor.cc - a module that does what its query string says: the first word is the act, what follows
// '=' its argument.
#include "tricorn_module.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include <sys/resource.h>
#include <unistd.h>

namespace {

struct Call {
    FCGX_ParamArray envp;
    FCGX_Stream* in;
    FCGX_Stream* out;
    FCGX_Stream* err;
    std::string argument;
};

int begin(const Call& call)
{
    return FCGX_PutS("Content-Type: application/octet-stream\r\n\r\n", call.out);
}

int text(const Call& call)
{
    begin(call);
    FCGX_PutS(call.argument.c_str(), call.out);
    return 0;
}

int param(const Call& call)
{
    const char* const value = FCGX_GetParam(call.argument.c_str(), call.envp);
    begin(call);
    FCGX_PutS(value != nullptr ? value : "(none)", call.out);
    return 0;
}

int pid(const Call& call)
{
    begin(call);
    FCGX_FPrintF(call.out, "%ld", static_cast<long>(::getpid()));
    return 0;
}

int echo(const Call& call)
{
    begin(call);
    char buffer[5'000];
    for (int size = 1; size > 0;) {
        size = FCGX_GetStr(buffer, sizeof buffer, call.in);
        if (FCGX_PutStr(buffer, size, call.out) != size)
            return 1;
    }
    return FCGX_GetError(call.in) == 0 ? 0 : 2;
}

// Reads all before it writes: nginx sends no more of a body once the reply has begun.
int bounce(const Call& call)
{
    std::string body;
    char buffer[5'000];
    for (int size = 1; size > 0;) {
        size = FCGX_GetStr(buffer, sizeof buffer, call.in);
        body.append(buffer, static_cast<std::size_t>(size));
    }
    if (FCGX_GetError(call.in) != 0)
        return 2;
    begin(call);
    return FCGX_PutStr(body.data(), static_cast<int>(body.size()), call.out) < 0 ? 1 : 0;
}

// So many megabytes of lines of ten bytes, each with its number.
int megabytes(const Call& call)
{
    begin(call);
    const int lines = std::atoi(call.argument.c_str()) * ((1 << 20) / 10);
    char line[16];
    for (int i = 0; i < lines; ++i) {
        std::snprintf(line, sizeof line, "%09d\n", i);
        if (FCGX_PutStr(line, 10, call.out) != 10)
            return 1;
    }
    return 0;
}

int complain(const Call& call)
{
    FCGX_FPrintF(call.err, "first %s\nsecond ", call.argument.c_str());
    FCGX_FFlush(call.err);
    FCGX_PutS("line\nlast", call.err);
    return text(call);
}

int status(const Call& call)
{
    begin(call);
    return std::atoi(call.argument.c_str());
}

int close_twice(const Call& call)
{
    begin(call);
    FCGX_PutS("closed", call.out);
    for (FCGX_Stream* stream : {call.out, call.err, call.in, call.in, call.err, call.out})
        FCGX_FClose(stream);
    return 0;
}

// Closes the reply, and goes on until its client says so by leaving.
int work_on(const Call& call)
{
    begin(call);
    FCGX_FClose(call.out);
    std::fprintf(stderr, "actor: works on\n");
    return 0;
}

int throw_early(const Call& call)
{
    begin(call);
    throw std::runtime_error("thrown early");
}

int throw_late(const Call& call)
{
    begin(call);
    FCGX_PutS("half", call.out);
    FCGX_FFlush(call.out);
    throw std::runtime_error("thrown late");
}

int crash(const Call&)
{
    std::raise(SIGABRT);
    return 0;
}

int hang(const Call&)
{
    for (;;)
        ::pause();
}

// All memory that there is.
int gorge(const Call&)
{
    constexpr std::size_t bite = 1 << 20;
    for (;;)
        std::memset(std::malloc(bite), 'x', bite);
}

int descriptors(const Call& call)
{
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    begin(call);
    FCGX_FPrintF(call.out, "%lu %lu", limit.rlim_cur, limit.rlim_max);
    return 0;
}

int silent(const Call&)
{
    return 0;
}

struct Act {
    std::string_view name;
    int (*play)(const Call&);
};
constexpr Act acts[] = {
    {"text", text},
    {"param", param},
    {"pid", pid},
    {"echo", echo},
    {"bounce", bounce},
    {"megabytes", megabytes},
    {"complain", complain},
    {"status", status},
    {"close_twice", close_twice},
    {"work_on", work_on},
    {"throw_early", throw_early},
    {"throw_late", throw_late},
    {"crash", crash},
    {"hang", hang},
    {"gorge", gorge},
    {"descriptors", descriptors},
    {"silent", silent},
};

}  // namespace

extern "C" int tricorn_init()
{
    std::fprintf(stderr, "actor: initialised as user %ld\n", static_cast<long>(::geteuid()));
    return 0;
}

extern "C" void tricorn_exit()
{
    std::fprintf(stderr, "actor: bows out\n");
}

extern "C" int tricorn_handle(FCGX_ParamArray envp,
                              FCGX_Stream* in,
                              FCGX_Stream* out,
                              FCGX_Stream* err)
{
    const std::string query = FCGX_GetParam("QUERY_STRING", envp);
    const std::size_t equals = query.find('=');
    const std::string name = query.substr(0, equals);
    const std::string argument = equals == std::string::npos ? "" : query.substr(equals + 1);
    const auto* const act = std::find_if(
        std::begin(acts), std::end(acts), [&](const Act& each) { return each.name == name; });
    if (act == std::end(acts)) {
        FCGX_PutS("Status: 400\r\n\r\n", out);
        return 1;
    }
    return act->play({envp, in, out, err, argument});
}
