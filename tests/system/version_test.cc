// version_test.cc - the built program starts.
#include "tests/catch.h"

#include <cstdlib>
#include <string>

TEST_CASE("version: the program says its version and succeeds", "[version]")
{
    const char* tricorn = std::getenv("TRICORN");
    REQUIRE(tricorn != nullptr);
    const std::string command =
        std::string(tricorn) + " --version | grep -qx 'tricorn " PACKAGE_VERSION "'";
    CHECK(std::system(command.c_str()) == 0);
}
