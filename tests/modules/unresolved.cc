// unresolved.cc - a module that needs a function that is nowhere: loading it fails at start, not
// when the function would be called.
#include "tricorn_module.h"

extern "C" int symbol_that_nobody_has();

extern "C" int tricorn_handle(FCGX_ParamArray, FCGX_Stream*, FCGX_Stream*, FCGX_Stream*)
{
    return symbol_that_nobody_has();
}
