#include "handler/queue.h"

#include <charconv>
#include <cstdint>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace handler {

namespace {

using std::chrono::microseconds;

// No time in seconds is as large before the year 5138, and none in milliseconds is as small after
// 1973; likewise for microseconds.
constexpr std::uint64_t least_milliseconds = 100'000'000'000;
constexpr std::uint64_t least_microseconds = 100'000'000'000'000;

constexpr Duration longest{24 * 3600 * 1000};

// Takes digits off the front.
std::uint64_t take_number(std::string_view& text)
{
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc())
        return 0;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    return number;
}

// Microseconds since 1970; 0 when it is no time.
std::uint64_t parse_time(std::string_view text)
{
    if (text.starts_with("t="))
        text.remove_prefix(2);
    const std::uint64_t number = take_number(text);
    if (number >= least_microseconds)
        return number;
    if (number >= least_milliseconds)
        return number * 1000;
    std::uint64_t fraction = 0;
    if (text.starts_with('.')) {
        std::string_view digits = text.substr(1, 6);
        const std::size_t size = digits.size();
        fraction = take_number(digits);
        for (std::size_t i = size - digits.size(); i < 6; ++i)
            fraction *= 10;
    }
    return number * 1'000'000 + fraction;
}

}  // namespace

Duration wait_since(std::string_view start, std::chrono::system_clock::time_point now)
{
    const auto then = parse_time(start);
    const auto present = static_cast<std::uint64_t>(
        std::chrono::duration_cast<microseconds>(now.time_since_epoch()).count());
    if (then == 0 || then >= present)
        return Duration{0};
    const auto wait = std::chrono::floor<Duration>(microseconds(present - then));
    return wait < longest ? wait : Duration{0};
}

Duration silence_of(int socket)
{
    tcp_info info{};
    socklen_t length = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
        return Duration{0};
    return Duration(info.tcpi_last_data_recv);
}

}  // namespace handler
