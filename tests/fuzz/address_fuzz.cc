// address_fuzz.cc - an address that parses is normal: its text means the same address again. Also
// the access log's formats: a compiled one formats, a refused one says why.
#include "fcgi/params.h"
#include "log/access_format.h"
#include "net/address.h"
#include "net/notify.h"

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

void check_address(std::string_view text)
{
    using net::Address;
    const auto address = Address::parse(text, Address::Names::refuse);
    if (!address) {
        require(!address.error().empty());
        return;
    }
    const auto again = Address::parse(address.value().text, Address::Names::refuse);
    require(static_cast<bool>(again) && again.value() == address.value());
    require(again.value().kind == address.value().kind);
    require(address.value().length <= sizeof address.value().storage);
    require(address.value().path.size() <= 107);
}

void check_format(std::string_view text)
{
    const auto format = AccessFormat::compile(text);
    if (!format) {
        require(!format.error().text.empty());
        return;
    }
    const fcgi::Params params;
    std::string line;
    format.value().append(line, AccessEntry{params});
    require(line.find('\n') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text(reinterpret_cast<const char*>(data), size);
    check_address(text);
    check_format(text);
    require(net::read_listen_names("1", text.c_str(), text.c_str(), 1).size() <= 1024);
    return 0;
}
