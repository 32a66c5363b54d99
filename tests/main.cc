// main.cc - the one place where Catch2's implementation is compiled; both test programs link it.
#define CATCH_CONFIG_RUNNER
#include "tests/catch.h"

int main(int argc, char** argv)
{
    return Catch::Session().run(argc, argv);
}
