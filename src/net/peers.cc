#include "net/peers.h"

#include "base/error.h"
#include "base/process.h"
#include "base/text.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>

namespace net {

namespace {

using Bytes = std::array<unsigned char, 16>;

constexpr std::string_view forms = "write 192.0.2.1, 192.0.2.0/24, 2001:db8::1 or 2001:db8::/32";
constexpr Bytes mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t mapped_bytes = 12;
constexpr unsigned mapped_bits = 96;

bool is_mapped(const Bytes& bytes)
{
    return std::equal(mapped.begin(), mapped.begin() + mapped_bytes, bytes.begin());
}

// IPv4 out of ::ffff:192.0.2.1.
Bytes unmapped(const Bytes& bytes)
{
    Bytes inner{};
    std::copy(bytes.begin() + mapped_bytes, bytes.end(), inner.begin());
    return inner;
}

struct Ip {
    int family;
    Bytes bytes;
};

Ip read(const sockaddr_storage& address)
{
    Ip ip{address.ss_family, {}};
    if (ip.family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &address, sizeof in);
        std::memcpy(ip.bytes.data(), &in.sin_addr, sizeof in.sin_addr);
    } else if (ip.family == AF_INET6) {
        sockaddr_in6 in6{};
        std::memcpy(&in6, &address, sizeof in6);
        std::memcpy(ip.bytes.data(), &in6.sin6_addr, sizeof in6.sin6_addr);
        if (is_mapped(ip.bytes))
            ip = {AF_INET, unmapped(ip.bytes)};
    }
    return ip;
}

std::string text_of(int family, const Bytes& bytes)
{
    std::array<char, INET6_ADDRSTRLEN> text{};
    const char* const shown = ::inet_ntop(family, bytes.data(), text.data(), text.size());
    return shown != nullptr ? shown : "an unknown address";
}

// The first `bits` of an address, the rest zero.
Bytes prefix(Bytes bytes, unsigned bits)
{
    for (unsigned i = 0; i < bytes.size(); ++i) {
        const unsigned left = bits > i * 8 ? std::min(bits - i * 8, 8U) : 0;
        bytes[i] = static_cast<unsigned char>(bytes[i] & (0xff00U >> left));
    }
    return bytes;
}

// "24", not "024", "+24" or "".
std::optional<unsigned> parse_bits(std::string_view text)
{
    return text.size() > 1 && text.front() == '0' ? std::nullopt : text::to_number<unsigned>(text);
}

}  // namespace

Result<Network, std::string> Network::parse(std::string_view text)
{
    const auto slash = text.find('/');
    const std::string address(text.substr(0, slash));
    const int family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const unsigned size = family == AF_INET ? 32 : 128;
    Bytes bytes{};
    if (address.find('\0') != std::string::npos ||
        ::inet_pton(family, address.c_str(), bytes.data()) != 1)
        return text::in_quotes(text) + " is no address and no network: " + std::string(forms);
    auto bits = std::optional(size);
    if (slash != text.npos)
        bits = parse_bits(text.substr(slash + 1));
    if (!bits || *bits > size)
        return text::in_quotes(text) + ": behind the / stands a number from 0 to " +
               std::to_string(size);
    const Bytes network = prefix(bytes, *bits);
    if (network != bytes)
        return text::in_quotes(text) + " has bits set behind the first " + std::to_string(*bits) +
               ": write " + text_of(family, network) + "/" + std::to_string(*bits) + ", or " +
               address + " for this address alone";
    if (family == AF_INET6 && is_mapped(bytes))
        return Network(AF_INET, unmapped(bytes), *bits - mapped_bits);
    return Network(family, bytes, *bits);
}

bool Network::contains(const sockaddr_storage& address) const
{
    const auto [family, bytes] = read(address);
    return family == family_ && prefix(bytes, bits_) == bytes_;
}

Result<uid_t, std::string> parse_user(const std::string& text)
{
    if (const auto uid = parse_id(text))
        return *uid;
    if (const ::passwd* entry = ::getpwnam(text.c_str()))
        return entry->pw_uid;
    return "there is no user " + text::in_quotes(text);
}

Peers::Peers(std::span<const std::string> clients, std::span<const std::string> users)
{
    for (const std::string& text : clients) {
        auto network = Network::parse(text);
        if (!network)
            throw StartError(exit_config, "allowed_clients: " + network.error());
        clients_.push_back(network.value());
    }
    for (const std::string& text : users) {
        const auto user = parse_user(text);
        if (!user)
            throw StartError(exit_config, "allowed_users: " + user.error());
        users_.push_back(user.value());
    }
}

bool Peers::admits(const sockaddr_storage& address) const
{
    return clients_.empty() || std::ranges::any_of(clients_, [&](const Network& network) {
               return network.contains(address);
           });
}

bool Peers::admits(uid_t user) const
{
    return users_.empty() || std::ranges::find(users_, user) != users_.end();
}

std::optional<std::string> Peers::stranger(int connection, bool tcp) const
{
    if (!tcp) {
        ucred peer{};
        socklen_t length = sizeof peer;
        if (users_.empty())
            return std::nullopt;
        if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
            return "an unknown user";
        if (admits(peer.uid))
            return std::nullopt;
        return "user " + std::to_string(peer.uid) + ", process " + std::to_string(peer.pid);
    }
    if (clients_.empty())
        return std::nullopt;
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getpeername(connection, reinterpret_cast<sockaddr*>(&address), &length) != 0)
        return "an unknown address";
    if (admits(address))
        return std::nullopt;
    const Ip ip = read(address);
    return text_of(ip.family, ip.bytes);
}

}  // namespace net
