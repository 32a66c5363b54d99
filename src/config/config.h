// config.h - the configuration of a server, put together from all its sources. Later ones win:
// defaults, WEB_CONCURRENCY, configuration file, TARGET, TRICORN_ARGS, command line.
// Errors   load() throws one StartError with a line for each mistake: exit_usage for a wrong
//          command line, exit_config for a wrong configuration. Nothing on disk is changed.
// Owner    main() loads; the arbiter loads again on SIGHUP, with the same Invocation.
// Source   precedence as gunicorn's settings; pools, $pool and include as php-fpm's.
#pragma once

#include "config/merge.h"
#include "config/options.h"
#include "config/settings.h"

#include <string>
#include <vector>

namespace config {

// What --run runs.
struct Run {
    std::string script;  // absolute
    std::string pool;    // empty: the only one
};

struct Loaded {
    Action action = Action::serve;
    Run run;
    Config config;
    Origins origins;                    // where each value came from
    std::vector<std::string> warnings;  // for the log
    std::string file;                   // configuration file; empty: none was read
    Invocation invocation;              // for the next load()
};

// Takes down arguments, environment, user and working directory. Call it once, at start.
Invocation invocation(int argc, char** argv);

Loaded load(const Invocation& invocation);

inline Loaded load(int argc, char** argv)
{
    return load(invocation(argc, argv));
}

// The configuration as a file that load() reads back to the same configuration, with the origin
// of each value as a comment.
std::string print(const Loaded& loaded);

}  // namespace config
