// peers_test.cc - who may connect, to the edges of addresses.
// Source   php-fpm's socket-invalid-allowed-clients.phpt and bug68428-ipv6-allowed-clients.phpt.
#include "base/error.h"
#include "base/throttle.h"
#include "net/peers.h"
#include "tests/catch.h"

#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

using Catch::Matchers::Contains;
using net::Network;
using net::Peers;

namespace {

using Words = std::vector<std::string>;

sockaddr_storage address(const std::string& text)
{
    sockaddr_storage storage{};
    sockaddr_in in{};
    sockaddr_in6 in6{};
    if (::inet_pton(AF_INET, text.c_str(), &in.sin_addr) == 1) {
        in.sin_family = AF_INET;
        in.sin_port = htons(4711);
        std::memcpy(&storage, &in, sizeof in);
        return storage;
    }
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &in6.sin6_addr) == 1);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(4711);
    in6.sin6_scope_id = 3;
    std::memcpy(&storage, &in6, sizeof in6);
    return storage;
}

bool within(const std::string& text, const std::string& network)
{
    auto parsed = Network::parse(network);
    CAPTURE(network);
    REQUIRE(parsed);
    return parsed->contains(address(text));
}

std::string mistake(const std::string& text)
{
    const auto parsed = Network::parse(text);
    return parsed ? "" : parsed.error();
}

}  // namespace

TEST_CASE("peers: an address alone is that address", "[net]")
{
    CHECK(within("192.0.2.1", "192.0.2.1"));
    CHECK_FALSE(within("192.0.2.2", "192.0.2.1"));
    CHECK_FALSE(within("192.0.2.0", "192.0.2.1"));
    CHECK(within("2001:db8::1", "2001:db8::1"));
    CHECK(within("2001:db8::1", "2001:DB8:0:0::0:1"));
    CHECK_FALSE(within("2001:db8::2", "2001:db8::1"));
    CHECK(within("::1", "::1"));
    CHECK_FALSE(within("127.0.0.1", "::1"));
    CHECK_FALSE(within("::1", "127.0.0.1"));
}

TEST_CASE("peers: networks end at the bit", "[net]")
{
    CHECK(within("192.0.2.255", "192.0.2.0/24"));
    CHECK_FALSE(within("192.0.3.0", "192.0.2.0/24"));
    CHECK(within("192.0.3.255", "192.0.2.0/23"));
    CHECK(within("10.127.255.255", "10.0.0.0/9"));
    CHECK_FALSE(within("10.128.0.0", "10.0.0.0/9"));
    CHECK(within("192.0.2.1", "192.0.2.0/31"));
    CHECK_FALSE(within("192.0.2.2", "192.0.2.0/31"));
    CHECK(within("192.0.2.1", "192.0.2.1/32"));
    CHECK_FALSE(within("192.0.2.0", "192.0.2.1/32"));
    CHECK(within("2001:db8:ffff::1", "2001:db8::/32"));
    CHECK_FALSE(within("2001:db9::", "2001:db8::/32"));
    CHECK(within("2001:db8::1", "2001:db8::/127"));
    CHECK_FALSE(within("2001:db8::2", "2001:db8::/127"));
    CHECK(within("2001:db8::2", "2001:db8::2/128"));
    CHECK_FALSE(within("2001:db8::3", "2001:db8::2/128"));
    CHECK(within("fe80::1", "fe80::/10"));
    CHECK(within("febf:ffff::1", "fe80::/10"));
    CHECK_FALSE(within("fec0::1", "fe80::/10"));
}

TEST_CASE("peers: a network of zero bits is every address of its kind", "[net]")
{
    for (const char* text : {"0.0.0.0", "127.0.0.1", "255.255.255.255"}) {
        CHECK(within(text, "0.0.0.0/0"));
        CHECK_FALSE(within(text, "::/0"));
    }
    for (const char* text : {"::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
        CHECK(within(text, "::/0"));
        CHECK_FALSE(within(text, "0.0.0.0/0"));
    }
}

TEST_CASE("peers: an IPv4 address that comes as IPv6 is the IPv4 address", "[net]")
{
    CHECK(within("::ffff:127.0.0.1", "127.0.0.1"));
    CHECK(within("127.0.0.1", "::ffff:127.0.0.1"));
    CHECK(within("::ffff:127.0.0.1", "::ffff:7f00:1"));
    CHECK(within("::ffff:10.1.2.3", "10.0.0.0/8"));
    CHECK_FALSE(within("::ffff:11.1.2.3", "10.0.0.0/8"));
    CHECK(within("10.1.2.3", "::ffff:10.0.0.0/104"));
    CHECK_FALSE(within("11.1.2.3", "::ffff:10.0.0.0/104"));
    CHECK(within("192.0.2.1", "::ffff:0:0/96"));
    CHECK_FALSE(within("::1", "::ffff:0:0/96"));
    CHECK_FALSE(within("::ffff:192.0.2.1", "::/0"));
    CHECK(within("::ffff:192.0.2.1", "::ffff:192.0.2.1/128"));
    // Neighbours of the mapped addresses are not IPv4.
    CHECK_FALSE(within("::fffe:127.0.0.1", "127.0.0.1"));
    CHECK_FALSE(within("::127.0.0.1", "127.0.0.1"));
    CHECK_FALSE(within("64:ff9b::127.0.0.1", "127.0.0.1"));
}

TEST_CASE("peers: bits behind the network are a mistake that says what would be right", "[net]")
{
    CHECK(mistake("10.1.2.3/8") == "\"10.1.2.3/8\" has bits set behind the first 8: write "
                                   "10.0.0.0/8, or 10.1.2.3 for this address alone");
    CHECK(mistake("10.0.0.1/31") == "\"10.0.0.1/31\" has bits set behind the first 31: write "
                                    "10.0.0.0/31, or 10.0.0.1 for this address alone");
    CHECK(mistake("127.0.0.1/0") == "\"127.0.0.1/0\" has bits set behind the first 0: write "
                                    "0.0.0.0/0, or 127.0.0.1 for this address alone");
    CHECK(mistake("2001:db8::1/32") == "\"2001:db8::1/32\" has bits set behind the first 32: write "
                                       "2001:db8::/32, or 2001:db8::1 for this address alone");
    CHECK_THAT(mistake("::ffff:0:0/95"), Contains("has bits set behind the first 95"));
    CHECK_THAT(mistake("::ffff:10.0.0.1/104"), Contains("write ::ffff:10.0.0.0/104, or"));
}

TEST_CASE("peers: what is no network is refused", "[net]")
{
    for (const char* text : {"",
                             "/",
                             "/8",
                             "any",
                             "localhost",
                             "10",
                             "10.0.0",
                             "10.0.0.256",
                             "010.0.0.1",
                             "10.0.0.0.0",
                             "10.0.0.*",
                             "127.0.0.1:9000",
                             "[::1]",
                             "fe80::1%lo",
                             "1::2::3",
                             ":::",
                             " 10.0.0.1"})
        CHECK_THAT(mistake(text), Contains("is no address and no network: write 192.0.2.1, "));
    for (const char* text : {"10.0.0.0/",
                             "10.0.0.0/33",
                             "10.0.0.0/-1",
                             "10.0.0.0/+8",
                             "10.0.0.0/8 ",
                             "10.0.0.0/08",
                             "10.0.0.0/8/8",
                             "10.0.0.0/255.0.0.0",
                             "10.0.0.0/99999999999"})
        CHECK_THAT(mistake(text), Contains("behind the / stands a number from 0 to 32"));
    CHECK_THAT(mistake("::/129"), Contains("behind the / stands a number from 0 to 128"));
    CHECK_FALSE(Network::parse(std::string_view("10.0.0.1\0", 9)));
}

TEST_CASE("peers: users are names or numbers", "[net]")
{
    CHECK(net::parse_user("root").value() == 0);
    CHECK(net::parse_user("0").value() == 0);
    CHECK(net::parse_user("4000000000").value() == 4'000'000'000U);
    CHECK(net::parse_user("no-such-user").error() == "there is no user \"no-such-user\"");
    // -1 is what the kernel takes for "leave it".
    for (const char* text : {"", "-1", "4294967295", "4294967296", "99999999999999999999", "0x0"})
        CHECK_FALSE(net::parse_user(text));
}

TEST_CASE("peers: empty lists admit everybody and others nobody else", "[net]")
{
    const Peers all(Words{}, Words{});
    CHECK(all.admits(address("192.0.2.1")));
    CHECK(all.admits(uid_t{12345}));
    const Peers some(Words{"192.0.2.1", "2001:db8::/32"}, Words{"12345", "root"});
    CHECK(some.admits(address("192.0.2.1")));
    CHECK(some.admits(address("::ffff:192.0.2.1")));
    CHECK(some.admits(address("2001:db8::7")));
    CHECK_FALSE(some.admits(address("192.0.2.2")));
    CHECK_FALSE(some.admits(address("::1")));
    CHECK(some.admits(uid_t{0}));
    CHECK(some.admits(uid_t{12345}));
    CHECK_FALSE(some.admits(uid_t{1}));
    // A list of clients is not about users, and the other way round.
    CHECK(Peers(Words{"192.0.2.1"}, Words{}).admits(uid_t{1}));
    CHECK(Peers(Words{}, Words{"root"}).admits(address("192.0.2.9")));
}

TEST_CASE("peers: an address that is neither IPv4 nor IPv6 is a stranger", "[net]")
{
    sockaddr_storage storage{};
    storage.ss_family = AF_UNIX;
    CHECK_FALSE(Peers(Words{"0.0.0.0/0", "::/0"}, Words{}).admits(storage));
}

TEST_CASE("peers: a list that does not parse admits nobody", "[net]")
{
    CHECK_THROWS_AS(Peers(Words{"192.0.2.1", "x"}, Words{}), StartError);
    CHECK_THROWS_AS(Peers(Words{}, Words{"no-such-user"}), StartError);
}

TEST_CASE("peers: the kernel is asked who has connected", "[net]")
{
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const std::string ours = std::to_string(::geteuid());
    const std::string other = std::to_string(::geteuid() + 1);
    CHECK_FALSE(Peers(Words{}, Words{}).stranger(ends[0], false));
    CHECK_FALSE(Peers(Words{"192.0.2.1"}, Words{ours}).stranger(ends[0], false));
    CHECK(Peers(Words{}, Words{other}).stranger(ends[0], false) ==
          "user " + ours + ", process " + std::to_string(::getpid()));
    CHECK(Peers(Words{}, Words{other}).stranger(-1, false) == "an unknown user");
    CHECK(Peers(Words{"192.0.2.1"}, Words{}).stranger(-1, true) == "an unknown address");
    CHECK(Peers(Words{"192.0.2.1"}, Words{}).stranger(ends[0], true) == "an unknown address");
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_CASE("throttle: one passes in each interval and says how many did not", "[base]")
{
    Throttle throttle(Duration{10'000});
    const TimePoint start = Clock::now();
    CHECK(throttle.pass(start) == 0U);
    CHECK_FALSE(throttle.pass(start));
    CHECK_FALSE(throttle.pass(start + Duration{9'999}));
    CHECK(throttle.pass(start + Duration{10'000}) == 2U);
    CHECK_FALSE(throttle.pass(start + Duration{10'001}));
    CHECK(throttle.pass(start + Duration{60'000}) == 1U);
    CHECK(throttle.pass(start + Duration{80'000}) == 0U);
}
