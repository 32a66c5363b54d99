// quits.cc - a module that ends its process while it is loaded, as if all were well.
#include "tricorn_module.h"

#include <unistd.h>

extern "C" int tricorn_init()
{
    ::_exit(0);
}

extern "C" int tricorn_handle(FCGX_ParamArray /*envp*/,
                              FCGX_Stream* /*in*/,
                              FCGX_Stream* /*out*/,
                              FCGX_Stream* /*err*/)
{
    return 0;
}
