// init_fails.cc - a module that cannot start in this worker.
#include "tricorn_module.h"

extern "C" int tricorn_init()
{
    return 7;
}

extern "C" int tricorn_handle(FCGX_ParamArray, FCGX_Stream*, FCGX_Stream*, FCGX_Stream*)
{
    return 0;
}
