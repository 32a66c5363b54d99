// hooks.cc - tells how often it was initialised and what environment it got; leaves a mark in the
// environment of the process when it ends.
#include "tricorn_module.h"

#include <cstdlib>

namespace {
int initialised = 0;
}

extern "C" int tricorn_init()
{
    ++initialised;
    return 0;
}

extern "C" void tricorn_exit()
{
    ::setenv("HOOKS_EXIT", "1", 1);
}

extern "C" int tricorn_handle(FCGX_ParamArray envp, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*)
{
    FCGX_FPrintF(out, "Content-Type: text/plain\n\ninit %d\n", initialised);
    for (char** entry = envp; *entry != nullptr; ++entry)
        FCGX_FPrintF(out, "%s\n", *entry);
    return 0;
}
