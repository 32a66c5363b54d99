#include "bench/load_options.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string_view>

#include <netinet/in.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

namespace bench {

namespace {

[[noreturn]] void usage()
{
    std::cerr << "usage: fcgiload [options] ADDRESS NAME=VALUE...\n"
                 "ADDRESS is unix:PATH or 127.0.0.1:PORT (:PORT); NAME=VALUE is a parameter.\n"
                 "  -c N     connections at a time (16)\n"
                 "  -d SECS  duration of the counted part (3)\n"
                 "  -w SECS  warm-up before it (0.3)\n"
                 "  -t SECS  limit for one request (10)\n"
                 "  -n N     stop after N requests, without a warm-up\n"
                 "  -e FILE  the body that every reply must have\n";
    std::exit(EX_USAGE);
}

std::string read_file(const char* path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        std::cerr << "fcgiload: " << path << ": " << std::strerror(errno) << '\n';
        std::exit(EX_NOINPUT);
    }
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void parse_option(Options& options, int letter, const char* value)
{
    switch (letter) {
    case 'c': options.connections = static_cast<std::size_t>(std::atoi(value)); break;
    case 'd': options.duration = Seconds(std::atof(value)); break;
    case 'w': options.warm_up = Seconds(std::atof(value)); break;
    case 't': options.timeout = Seconds(std::atof(value)); break;
    case 'n': options.requests = static_cast<std::size_t>(std::atoi(value)); break;
    case 'e': options.body = read_file(value); break;
    default: usage();
    }
}

}  // namespace

Address parse_address(const std::string& text)
{
    Address address;
    if (text.starts_with("unix:")) {
        auto* name = reinterpret_cast<sockaddr_un*>(&address.storage);
        if (text.size() - 5 >= sizeof name->sun_path)
            usage();
        name->sun_family = AF_UNIX;
        text.copy(name->sun_path, sizeof name->sun_path - 1, 5);  // the rest is zero
        address.length = sizeof *name;
    } else {
        auto* name = reinterpret_cast<sockaddr_in*>(&address.storage);
        const std::size_t colon = text.rfind(':');
        if (colon == std::string::npos)
            usage();
        name->sin_family = AF_INET;
        name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        name->sin_port = htons(static_cast<in_port_t>(std::atoi(text.c_str() + colon + 1)));
        address.length = sizeof *name;
    }
    return address;
}

Options parse_arguments(int argc, char** argv)
{
    Options options;
    options.params = {{"GATEWAY_INTERFACE", "CGI/1.1"},
                      {"REQUEST_METHOD", "GET"},
                      {"SERVER_PROTOCOL", "HTTP/1.1"},
                      {"SERVER_NAME", "localhost"},
                      {"SERVER_PORT", "80"},
                      {"REMOTE_ADDR", "127.0.0.1"},
                      {"HTTP_HOST", "localhost"},
                      {"QUERY_STRING", ""}};
    int letter = 0;
    while ((letter = ::getopt(argc, argv, "c:d:w:t:n:e:")) != -1)
        parse_option(options, letter, ::optarg);
    if (::optind >= argc || options.connections == 0)
        usage();
    if (options.requests != 0) {
        options.connections = std::min(options.connections, options.requests);
        options.warm_up = Seconds(0);
    }
    options.address = argv[::optind];
    for (int i = ::optind + 1; i < argc; ++i) {
        const std::string_view pair = argv[i];
        const std::size_t equals = pair.find('=');
        if (equals == std::string_view::npos)
            usage();
        const std::string name(pair.substr(0, equals));
        std::erase_if(options.params, [&name](const auto& param) { return param.first == name; });
        options.params.emplace_back(name, pair.substr(equals + 1));
    }
    return options;
}

}  // namespace bench
