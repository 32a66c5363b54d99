// init_waits.cc - a module that takes as long to start as the test wants: until the file GO is
// there.
#include "tricorn_module.h"

#include <cstdlib>

#include <unistd.h>

extern "C" int tricorn_init()
{
    while (::access(std::getenv("GO"), F_OK) != 0)
        ::usleep(10'000);
    return 0;
}

extern "C" int tricorn_handle(FCGX_ParamArray /*envp*/,
                              FCGX_Stream* /*in*/,
                              FCGX_Stream* out,
                              FCGX_Stream* /*err*/)
{
    FCGX_FPrintF(out, "Content-Type: text/plain\n\nat last");
    return 0;
}
