// main.cc - placeholder until the arbiter is there.
#include <cstdio>

int main()
{
    return std::puts("tricorn " PACKAGE_VERSION) < 0;
}
