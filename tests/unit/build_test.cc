// build_test.cc - what configure compiles in.
#include "tests/catch.h"

#include <string_view>

TEST_CASE("build: the default configuration file lies beneath sysconfdir", "[build]")
{
    CHECK(std::string_view(TRICORN_CONFIG_FILE).ends_with("/tricorn/tricorn.conf"));
    CHECK(std::string_view(TRICORN_CONFIG_FILE).starts_with(TRICORN_SYSCONFDIR "/"));
}
