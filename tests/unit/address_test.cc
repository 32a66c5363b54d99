#include "base/unique_fd.h"
#include "net/address.h"
#include "tests/unit/support.h"

#include <filesystem>
#include <string>

#include <netinet/in.h>
#include <unistd.h>

using net::Address;

namespace {

std::string text_of(const std::string& text)
{
    const auto address = Address::parse(text);
    return address ? address.value().text : "error: " + address.error();
}

bool fails_with(const std::string& text, const std::string& part)
{
    const auto address = Address::parse(text);
    INFO((address ? "parsed as " + address.value().text : address.error()));
    return !address && address.error().find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("address: a Unix socket has a path with or without its prefix", "[address]")
{
    const auto address = Address::parse("unix:/run/tricorn/www.sock");
    REQUIRE(address);
    CHECK(address.value().kind == Address::Kind::unix_path);
    CHECK(address.value().path == "/run/tricorn/www.sock");
    CHECK_FALSE(address.value().is_tcp());
    CHECK(text_of("/run/tricorn/www.sock") == "unix:/run/tricorn/www.sock");
}

TEST_CASE("address: a relative path is made absolute", "[address]")
{
    const auto here = std::filesystem::current_path().string();
    CHECK(text_of("unix:app.sock") == "unix:" + here + "/app.sock");
}

TEST_CASE("address: spellings of the same address are equal", "[address]")
{
    CHECK(text_of("unix:/run/./a//b.sock") == text_of("/run/a/b.sock"));
    CHECK(text_of("unix:/run/../a.sock") == "unix:/run/../a.sock");  // /run may be a link
    CHECK(text_of("*:9000") == text_of("0.0.0.0:9000"));
    CHECK(text_of("[0:0::1]:9000") == "[::1]:9000");
    CHECK(text_of("127.0.0.1:09000") == "127.0.0.1:9000");
    CHECK(text_of("fd://03") == "fd://3");
    CHECK_FALSE(Address::parse("127.0.0.1:1").value() == Address::parse("127.0.0.1:2").value());
}

TEST_CASE("address: a host name becomes its address", "[address]")
{
    if (::access("/etc/hosts", R_OK) != 0)
        SKIP_TEST("there is no /etc/hosts that could know a name");
    CHECK(text_of("localhost:9000") == "127.0.0.1:9000");
}

TEST_CASE("address: kinds and sizes fit the socket calls", "[address]")
{
    const auto v4 = Address::parse("127.0.0.1:80").value();
    CHECK(v4.kind == Address::Kind::ipv4);
    CHECK(v4.length == sizeof(sockaddr_in));
    CHECK(v4.is_tcp());
    const auto v6 = Address::parse("[::]:65535").value();
    CHECK(v6.kind == Address::Kind::ipv6);
    CHECK(v6.length == sizeof(sockaddr_in6));
    const auto inherited = Address::parse("fd://0").value();
    CHECK(inherited.kind == Address::Kind::inherited_fd);
    CHECK(inherited.fd == 0);
}

TEST_CASE("address: what is wrong is said with what would be right", "[address]")
{
    CHECK(fails_with("", "unix:PATH"));
    CHECK(fails_with("9000", "port is missing"));
    CHECK(fails_with("localhost", "port is missing"));
    CHECK(fails_with("127.0.0.1:", "from 0 to 65535"));
    CHECK(fails_with("127.0.0.1:65536", "from 0 to 65535"));
    CHECK(fails_with("127.0.0.1:-1", "from 0 to 65535"));
    CHECK(fails_with("127.0.0.1:80x", "from 0 to 65535"));
    CHECK(fails_with(":9000", "127.0.0.1:9000"));
    CHECK(fails_with("::1:9000", "[::1]:9000"));
    CHECK(fails_with("[::1:9000", "in brackets"));
    CHECK(fails_with("[::g]:9000", "no IPv6 address"));
    CHECK(fails_with("[]:9000", "no IPv6 address"));
    CHECK(fails_with("[127.0.0.1]:9000", "no IPv6 address"));
    CHECK(fails_with("fd://", "fd://3"));
    CHECK(fails_with("fd://x", "fd://3"));
    CHECK(fails_with("fd://99999999999", "fd://3"));
    CHECK(fails_with("http://127.0.0.1:80", "unix:PATH"));
    CHECK(fails_with("unix:", "path is missing"));
    CHECK(fails_with("unix:@name", "abstract"));
    CHECK(fails_with("unix:/run/", "directory"));
    CHECK(fails_with("unix:/run/a/..", "directory"));
    CHECK(fails_with(std::string("unix:/a\0b", 9), "NUL"));
}

TEST_CASE("address: a path of 107 bytes fits and one of 108 does not", "[address]")
{
    CHECK(text_of("/" + std::string(106, 'a')) == "unix:/" + std::string(106, 'a'));
    CHECK(fails_with("/" + std::string(107, 'a'), "up to 107"));
}

TEST_CASE("address: names are not looked up when that is refused", "[address]")
{
    CHECK_FALSE(Address::parse("localhost:80", Address::Names::refuse));
    CHECK(Address::parse("127.0.0.1:80", Address::Names::refuse));
}

TEST_CASE("address: a socket tells its own address", "[address]")
{
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto any = Address::parse("127.0.0.1:0").value();
    REQUIRE(::bind(fd.get(), any.get(), any.length) == 0);
    const auto address = Address::of_socket(fd.get());
    CHECK(address.kind == Address::Kind::ipv4);
    CHECK(address.text.starts_with("127.0.0.1:"));
    CHECK(address.text != "127.0.0.1:0");
    CHECK(Address::parse(address.text).value() == address);
}
