#include "ctl/options.h"

#include "base/error.h"
#include "config/ini.h"
#include "config/merge.h"
#include "config/settings.h"
#include "config/values.h"
#include "ctl/client.h"

#include <boost/program_options.hpp>

#include <algorithm>
#include <cctype>

#include <unistd.h>

namespace ctl {

namespace {

namespace po = boost::program_options;

constexpr std::uint64_t longest_timeout = 24ULL * 3600 * 1000;

[[noreturn]] void wrong_usage(const std::string& text)
{
    throw StartError(exit_usage, text + " (see tricornctl --help)");
}

po::options_description description()
{
    po::options_description options;
    const auto text = [] { return po::value<std::string>(); };
    options.add_options()("socket,s", text(), "")("config,c", text(), "")("json", "")(
        "timeout,t", text(), "")("version,v", "")("help,h", "");
    return options;
}

// "-2" is no option: it is what `scale` takes.
std::vector<po::option> take_number(std::vector<std::string>& words)
{
    const std::string& word = words.front();
    if (word.size() < 2 || word[0] != '-' ||
        !std::ranges::all_of(word.substr(1), [](unsigned char c) { return std::isdigit(c) != 0; }))
        return {};
    po::option number;
    number.value = {word};
    number.original_tokens = {word};
    number.position_key = 0;
    words.erase(words.begin());
    return {number};
}

Duration timeout_of(const std::string& text)
{
    const auto timeout = config::parse_duration(text, {1, longest_timeout});
    if (!timeout)
        wrong_usage("--timeout: " + timeout.error());
    return timeout.value();
}

void take(const po::option& given, Options& options)
{
    const std::string& name = given.string_key;
    if (name == "socket")
        options.socket = given.value.at(0);
    else if (name == "config")
        options.config = given.value.at(0);
    else if (name == "timeout")
        options.timeout = timeout_of(given.value.at(0));
    else if (name == "json")
        options.json = true;
    else if (name == "version")
        options.version = true;
    else if (name == "help")
        options.help = true;
    else
        options.words.insert(options.words.end(), given.value.begin(), given.value.end());
}

std::string directory_of(const std::string& path)
{
    return path.substr(0, path.rfind('/') + 1);
}

}  // namespace

Options parse(int argc, char** argv)
{
    const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    Options options;
    try {
        namespace style = po::command_line_style;
        const auto parsed = po::command_line_parser(words)
                                .options(description())
                                .style(style::unix_style & ~style::allow_guessing)
                                .extra_style_parser(take_number)
                                .run();
        for (const po::option& given : parsed.options)
            take(given, options);
    } catch (const po::error& error) {
        wrong_usage(error.what());
    }
    return options;
}

std::string help()
{
    return "usage: tricornctl [options] COMMAND\n\n"
           "Looks at a running tricorn(8), and tells it what to do.\n\n"
           "  status              server, pools, workers, and how the last workers ended\n"
           "  pools               the pools alone\n"
           "  workers             the workers alone\n"
           "  config              the configuration in use, with the origin of each value\n"
           "  reload              read the configuration anew; waits until new workers serve\n"
           "  stop                finish the requests, then end; waits for the end\n"
           "  quit                end at once; waits for the end\n"
           "  reopen              open the logs anew, after they were renamed\n"
           "  upgrade             start the new program beside the old one; waits until it serves\n"
           "  rollback            take an upgrade back: end the new server; waits for its end\n"
           "  scale POOL N        that many workers; +N more, -N fewer; until the next reload\n"
           "  kill PID            end this worker and its request; a new one takes its place\n\n"
           "  -s, --socket PATH   the server's control socket\n"
           "  -c, --config FILE   the server's configuration, which names the socket\n"
           "  -t, --timeout TIME  how long to wait for the end of a command (1m)\n"
           "      --json          print what the server answers, for programs\n"
           "  -v, --version       print the version and exit\n"
           "  -h, --help          print this text and exit\n\n"
           "Exit status: 0 done, 1 refused or failed, 2 no server was reached, 64 wrong usage.\n"
           "See tricornctl(1).\n";
}

std::string socket_path(const Options& options)
{
    if (!options.socket.empty())
        return options.socket;
    const std::string file = options.config.empty() ? TRICORN_CONFIG_FILE : options.config;
    if (options.config.empty() && ::access(file.c_str(), R_OK) != 0)
        return config::default_control;
    const config::Ini ini = config::read_ini(config::absolute(file, "."));
    if (ini.sections.empty() && !ini.problems.empty())
        throw Unreachable(ini.problems.front().origin.text() + ": " + ini.problems.front().text);
    std::string path = "auto";
    for (const config::Entry& entry : ini.entries)
        if (entry.section == "global" && entry.key == "control")
            path = entry.value == "auto"
                       ? entry.value
                       : config::absolute(entry.value, directory_of(entry.origin.source));
    if (path.empty())
        throw Unreachable(file + " switches the control socket off");
    return path == "auto" ? config::default_control : path;
}

}  // namespace ctl
