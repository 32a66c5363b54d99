// main.cc - options, configuration, then the arbiter. Turns what they throw into an exit code.

#include "base/daemon.h"
#include "base/error.h"
#include "base/process.h"
#include "base/signals.h"
#include "config/config.h"
#include "log/log.h"
#include "server/arbiter.h"
#include "server/run_once.h"

#include <cstdio>
#include <exception>
#include <sstream>
#include <string>

namespace {

int serve(config::Loaded loaded, Daemon& daemon)
{
    server::Predecessor predecessor = server::Predecessor::find();
    const config::Global& global = loaded.config.global;
    const std::string log = global.error_log == "-" ? "syslog" : global.error_log;
    if (global.daemon)
        daemon = predecessor.exists() ? Daemon::inherited() : Daemon::detach(log);
    const bool log_elsewhere = global.log_syslog || global.daemon || global.error_log != "-";
    try {
        return server::Arbiter(std::move(loaded), daemon, std::move(predecessor)).run();
    } catch (const std::exception& error) {
        if (log_elsewhere)
            logging::critical("%s", error.what());
        throw;
    }
}

int run(int argc, char** argv, Daemon& daemon)
{
    const config::Invocation invocation = config::invocation(argc, argv);
    init_process_title(argc, argv);
    config::Loaded loaded = config::load(invocation);
    switch (loaded.action) {
    case config::Action::help: std::fputs(config::help().c_str(), stdout); return exit_ok;
    case config::Action::version: std::puts("tricorn " PACKAGE_VERSION); return exit_ok;
    case config::Action::build_info:
        std::fputs(config::build_info().c_str(), stdout);
        return exit_ok;
    case config::Action::print_config:
        std::fputs(config::print(loaded).c_str(), stdout);
        return exit_ok;
    case config::Action::check_config:
        for (const std::string& warning : loaded.warnings)
            std::fprintf(stderr, "tricorn: warning: %s\n", warning.c_str());
        std::puts("The configuration is good.");
        return exit_ok;
    case config::Action::run: return server::run_once(loaded);
    case config::Action::serve: break;
    }
    return serve(std::move(loaded), daemon);
}

int fail(const char* text, int code, Daemon& daemon)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        std::fprintf(stderr, "tricorn: %s\n", line.c_str());
    daemon.report(code);
    return code;
}

}  // namespace

int main(int argc, char** argv)
{
    open_standard_descriptors();
    reset_signals();
    ignore_write_signals();
    Daemon daemon;
    try {
        return run(argc, argv, daemon);
    } catch (const StartError& error) {
        return fail(error.what(), error.exit_code(), daemon);
    } catch (const std::exception& error) {
        return fail(error.what(), exit_failure, daemon);
    }
}
