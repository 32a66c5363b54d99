// params_fuzz.cc - the decoder of name-value pairs against any bytes.
// Checks   every byte of the stream belongs to exactly one pair, in order; what is refused claims
//          more than there is; get() answers the last pair of a name.
#include "fcgi/params.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace {

void require(bool condition)
{
    if (!condition)
        std::abort();
}

// How many bytes the length at `at` takes, and what it says; false when it is cut.
bool read_length(const std::string& bytes, std::size_t at, std::size_t& taken, std::uint64_t& says)
{
    if (at >= bytes.size())
        return false;
    const auto byte = [&](std::size_t i) {
        return std::uint64_t{static_cast<std::uint8_t>(bytes[at + i])};
    };
    taken = byte(0) < 128 ? 1 : 4;
    if (bytes.size() - at < taken)
        return false;
    says = taken == 1 ? byte(0)
                      : (byte(0) - 128) * 16'777'216 + byte(1) * 65'536 + byte(2) * 256 + byte(3);
    return true;
}

// Where the pair at `at` ends; 0 when it is malformed. Sets where its name and value begin.
std::size_t end_of_pair(const std::string& bytes,
                        std::size_t at,
                        std::size_t& name,
                        std::size_t& value)
{
    std::size_t first = 0;
    std::size_t second = 0;
    std::uint64_t name_size = 0;
    std::uint64_t value_size = 0;
    if (!read_length(bytes, at, first, name_size) ||
        !read_length(bytes, at + first, second, value_size))
        return 0;
    name = at + first + second;
    if (name + name_size + value_size > bytes.size())
        return 0;
    value = name + name_size;
    return value + value_size;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    fcgi::Params params;
    const bool decoded = params.decode(bytes);

    std::map<std::string, std::string> last;
    std::size_t count = 0;
    std::size_t at = 0;
    while (at < bytes.size()) {
        std::size_t name = 0;
        std::size_t value = 0;
        const std::size_t end = end_of_pair(bytes, at, name, value);
        require(decoded || end == 0 || count < bytes.size());
        if (end == 0)
            break;
        const std::string key = bytes.substr(name, value - name);
        last[key] = bytes.substr(value, end - value);
        if (decoded) {
            require(count < params.pairs().size());
            require(params.pairs()[count].first == key &&
                    params.pairs()[count].second == last[key]);
        }
        ++count;
        at = end;
    }
    require(decoded == (at == bytes.size()));
    require(params.pairs().size() == (decoded ? count : 0));
    if (!decoded)
        return 0;
    for (const auto& [name, value] : last)
        require(params.has(name) && params.get(name) == value);
    return 0;
}
