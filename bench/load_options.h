// load_options.h - the command line of fcgiload.
// Errors   a wrong command line ends the program with EX_USAGE, an unreadable file with EX_NOINPUT.
#pragma once

#include "bench/fcgi_client.h"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include <sys/socket.h>

namespace bench {

using Seconds = std::chrono::duration<double>;

struct Options {
    std::string address;
    std::size_t connections = 16;
    Seconds duration{3};
    Seconds warm_up{0.3};
    Seconds timeout{10};
    std::size_t requests = 0;  // stop after so many, 0: after the duration
    std::optional<std::string> body;
    Params params;
};

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

Options parse_arguments(int argc, char** argv);
Address parse_address(const std::string& text);

}  // namespace bench
