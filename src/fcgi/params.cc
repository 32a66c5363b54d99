#include "fcgi/params.h"

#include <cstddef>
#include <cstdint>

namespace fcgi {

namespace {

// A length of one byte, or of four with the top bit set. False when the stream is too short.
bool take_length(std::string_view& rest, std::size_t& length)
{
    if (rest.empty())
        return false;
    const auto at = [&](std::size_t i) {
        return static_cast<std::size_t>(static_cast<std::uint8_t>(rest[i]));
    };
    if ((at(0) & 0x80) == 0) {
        length = at(0);
        rest.remove_prefix(1);
        return true;
    }
    if (rest.size() < 4)
        return false;
    length = (at(0) & 0x7f) << 24 | at(1) << 16 | at(2) << 8 | at(3);
    rest.remove_prefix(4);
    return true;
}

}  // namespace

std::optional<Params::Pair> take_pair(std::string_view& rest)
{
    std::size_t name = 0;
    std::size_t value = 0;
    // Compared in an order that cannot overflow, however large the two claims are.
    if (!take_length(rest, name) || !take_length(rest, value) || name > rest.size() ||
        value > rest.size() - name)
        return std::nullopt;
    Params::Pair pair{rest.substr(0, name), rest.substr(name, value)};
    rest.remove_prefix(name + value);
    return pair;
}

bool Params::decode(std::string bytes)
{
    clear();
    bytes_ = std::move(bytes);
    std::string_view rest = bytes_;
    while (!rest.empty()) {
        const auto pair = take_pair(rest);
        if (!pair) {
            clear();
            return false;
        }
        pairs_.push_back(*pair);
    }
    return true;
}

std::string_view Params::get(std::string_view name) const
{
    for (auto pair = pairs_.rbegin(); pair != pairs_.rend(); ++pair)
        if (pair->first == name)
            return pair->second;
    return {};
}

bool Params::has(std::string_view name) const
{
    for (const auto& pair : pairs_)
        if (pair.first == name)
            return true;
    return false;
}

void Params::clear()
{
    pairs_.clear();
    bytes_.clear();
}

}  // namespace fcgi
