// options.h - the command line of tricornctl(1), and the socket that it means.
// Errors   parse() throws StartError(exit_usage); socket_path() throws Unreachable.
// Owner    tricornctl.
#pragma once

#include "base/clock.h"

#include <string>
#include <vector>

namespace ctl {

struct Options {
    std::string socket;
    std::string config;
    bool json = false;
    Duration timeout{60'000};
    std::vector<std::string> words;  // the command and its arguments
    bool help = false;
    bool version = false;
};

Options parse(int argc, char** argv);
std::string help();

// The socket that was named, else that of the configuration file, else the compiled-in one.
std::string socket_path(const Options& options);

}  // namespace ctl
