// origin.h - where a value or a mistake was found, for messages and for --print-config.
#pragma once

#include <string>

namespace config {

struct Origin {
    std::string source;  // a file's path, "command line", "TRICORN_ARGS", "default" ...
    int line = 0;        // from 1; 0: the source as a whole

    std::string text() const { return line > 0 ? source + ":" + std::to_string(line) : source; }
};

// What is wrong and what would be right; begins with the key where there is one.
struct Problem {
    Origin origin;
    std::string text;
    bool usage = false;  // a wrong word on the command line, not a wrong configuration
};

}  // namespace config
