// options.h - reads the command line. The only user of Boost.Program_options. The options of
// settings follow the table; the rest (-c, --set, --help ...) stand in options.cc.
// Errors   StartError(exit_usage): unknown options (with the nearest known one), missing arguments.
// Source   gunicorn's option names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace config {

enum class Action { serve, run, check_config, print_config, version, build_info, help };

struct Options {
    struct Item {
        std::string option;  // as messages name it: "--workers"
        std::string key;     // "workers", "env.NAME"; of --set, what stands before the =
        std::string value;
        bool from_set = false;  // key may begin with a pool's name and a point
    };

    Action action = Action::serve;
    std::string file;         // of --config; empty: not given
    std::string target;       // empty: not given
    std::string run;          // of --run, the program; empty: not given
    std::string pool;         // of --pool; empty: not given
    std::vector<Item> items;  // in the order given
};

// `source` names where the words come from, for messages.
Options parse_options(const std::vector<std::string>& words, const std::string& source);

// Splits text into words as a shell does: blanks, 'single', "double" quotes, backslashes; no
// expansions. Throws StartError(exit_usage) when a quote is not closed.
std::vector<std::string> split_words(std::string_view text, const std::string& source);

// What --help and --build-info print.
std::string help();
std::string build_info();

}  // namespace config
