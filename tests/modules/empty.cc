// empty.cc - a shared object that is no module: tricorn_handle is missing.
extern "C" int something_else()
{
    return 0;
}
