// log_escape_fuzz.cc - whatever a client sends, a log line stays one line of printable UTF-8.
#include "base/text.h"
#include "fcgi/params.h"
#include "log/access_format.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool truth)
{
    if (!truth)
        std::abort();
}

// UTF-8 decoded in another way than base/text does it: to code points, checked afterwards.
bool is_clean(std::string_view text, bool tab_allowed)
{
    static constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<std::uint8_t>(text[i]);
        const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        if ((lead >= 0x80 && lead < 0xC0) || lead >= 0xF8 || i + length > text.size())
            return false;
        std::uint32_t point = length == 1 ? lead : lead & (0x7FU >> length);
        for (std::size_t k = 1; k < length; ++k) {
            const auto byte = static_cast<std::uint8_t>(text[i + k]);
            if ((byte & 0xC0) != 0x80)
                return false;
            point = point << 6 | (byte & 0x3FU);
        }
        if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
            return false;
        if ((point < 0x20 && !(tab_allowed && point == '\t')) || (point >= 0x7F && point < 0xA0))
            return false;
        i += length;
    }
    return true;
}

// Takes the escapes of append_quoted() back.
std::string unquote(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            require(text[i] != '"');
            out += text[i];
        } else if (text[++i] == 'x') {
            out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto escaped = text::escape_control(bytes);
    require(is_clean(escaped, true) && escaped.size() <= 4 * size);
    require(text::escape_control(escaped) == escaped);

    std::string quoted;
    text::append_quoted(quoted, bytes);
    require(is_clean(quoted, false) && unquote(quoted) == bytes);

    fcgi::Params params;
    if (!params.decode(std::string(bytes)))
        return 0;
    AccessEntry entry{params};
    entry.header = bytes;
    for (const char* format : {"default", "json", "%({X-A}o)s %({X-A}i)s %(U)s %({A}e)s"}) {
        std::string line;
        AccessFormat::compile(format)->append(line, entry);
        require(is_clean(line, false));
    }
    return 0;
}
