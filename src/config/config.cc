#include "config/config.h"

#include "base/error.h"
#include "config/check.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <unistd.h>

namespace config {
namespace {

constexpr const char* default_file = TRICORN_CONFIG_FILE;
constexpr const char* from_environment = "TRICORN_ARGS";
constexpr const char* from_command_line = "command line";
constexpr std::size_t origin_column = 40;

// What --run runs, if it is given; without --run there is nothing for --pool to say.
Run run_of(const Options& environment, const Options& arguments, const std::string& directory)
{
    const bool by_arguments = !arguments.run.empty();
    const std::string& pool = arguments.pool.empty() ? environment.pool : arguments.pool;
    Run run{absolute(by_arguments ? arguments.run : environment.run, directory), pool};
    if (run.script.empty() && !pool.empty())
        throw StartError(exit_usage, "--pool " + pool + ": is for --run");
    return run;
}

// The file to read; empty when a TARGET makes one superfluous.
std::string choose_file(const std::string& given, bool has_target, const std::string& directory)
{
    if (!given.empty())
        return absolute(given, directory);
    if (has_target)
        return {};
    if (::access(default_file, F_OK) != 0)
        throw StartError(exit_usage,
                         std::string("nothing to serve: there is no ") + default_file +
                             "; give a TARGET or --config FILE, see tricorn --help");
    return default_file;
}

// Throws what is wrong, in the order in which a reader of the files finds it.
void refuse(std::vector<Problem> problems)
{
    if (problems.empty())
        return;
    std::vector<std::string> sources;
    for (const Problem& problem : problems)
        if (std::ranges::find(sources, problem.origin.source) == sources.end())
            sources.push_back(problem.origin.source);
    std::ranges::stable_sort(problems, {}, [&](const Problem& problem) {
        return std::pair(std::ranges::find(sources, problem.origin.source), problem.origin.line);
    });
    std::string text;
    for (const Problem& problem : problems)
        text += (text.empty() ? "" : "\n") + problem.origin.text() + ": " + problem.text;
    const bool usage = std::ranges::all_of(problems, &Problem::usage);
    throw StartError(usage ? exit_usage : exit_config, text);
}

std::optional<std::string> variable(const char* name)
{
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

// One setting of one section, a line for each of its values.
void print_setting(std::string& out,
                   const Setting& setting,
                   const std::string& key,
                   const std::string& value,
                   const std::vector<Origin>& origins)
{
    std::vector<std::string> values{value};
    if (takes_several(setting) && !value.empty())
        values = parse_words(value);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::string origin = origins.empty()      ? "default"
                                   : i < origins.size() ? origins[i].text()
                                                        : origins.back().text();
        std::string line = key + " =";
        if (!values[i].empty())
            line += ' ' + written(values[i]);
        line.resize(std::max(line.size() + 1, origin_column), ' ');
        out.append(line).append("# ").append(origin).append("\n");
    }
}

void print_section(std::string& out, const Loaded& loaded, Pool* pool, Global* global)
{
    const std::string section = pool != nullptr ? pool->name : "global";
    const Scope scope = pool != nullptr ? Scope::pool : Scope::global;
    const auto print_key = [&](const Setting& setting, const std::string& key) {
        const auto origins = loaded.origins.find({section, key});
        print_setting(out,
                      setting,
                      key,
                      format(setting, key, {global, pool}),
                      origins == loaded.origins.end() ? std::vector<Origin>() : origins->second);
    };
    out += "[" + section + "]\n";
    for (const Setting& setting : settings()) {
        if (setting.scope != scope || setting.type == Type::include)
            continue;
        if (setting.type != Type::environment)
            print_key(setting, std::string(setting.key));
        else if (pool != nullptr)
            for (const auto& [name, value] : pool->env)
                print_key(setting, "env." + name);
    }
}

}  // namespace

Invocation invocation(int argc, char** argv)
{
    Invocation result;
    result.program = argc > 0 ? argv[0] : PACKAGE_NAME;
    result.words.assign(argv + std::min(argc, 1), argv + argc);
    result.tricorn_args = variable("TRICORN_ARGS").value_or("");
    result.web_concurrency = variable("WEB_CONCURRENCY");
    std::error_code error;
    result.directory = std::filesystem::current_path(error).string();
    if (error)
        throw StartError(exit_failure, "the working directory: " + error.message());
    result.root = ::geteuid() == 0;
    return result;
}

Loaded load(const Invocation& invocation)
{
    const Options environment =
        parse_options(split_words(invocation.tricorn_args, from_environment), from_environment);
    const Options arguments = parse_options(invocation.words, from_command_line);
    Loaded loaded;
    loaded.invocation = invocation;
    loaded.action = std::max(environment.action, arguments.action);
    if (loaded.action >= Action::version)
        return loaded;

    const bool by_arguments = !arguments.target.empty();
    const std::string& target = by_arguments ? arguments.target : environment.target;
    const std::string& file = arguments.file.empty() ? environment.file : arguments.file;
    loaded.run = run_of(environment, arguments, invocation.directory);
    const bool alone = !loaded.run.script.empty() && loaded.run.pool.empty() && file.empty();
    loaded.file = choose_file(file, !target.empty() || alone, invocation.directory);
    Merger merger(invocation);
    if (!loaded.file.empty())
        merger.add_file(read_ini(loaded.file));
    if (!target.empty())
        merger.add_target(target, by_arguments ? from_command_line : from_environment);
    else if (alone)
        merger.add_program(loaded.run.script, from_command_line);
    merger.add_options(environment, from_environment);
    merger.add_options(arguments, from_command_line);

    Draft draft = merger.finish();
    check(draft, invocation, loaded.file);
    refuse(std::move(draft.problems));
    loaded.config = std::move(draft.config);
    loaded.origins = std::move(draft.origins);
    loaded.warnings = std::move(draft.warnings);
    return loaded;
}

std::string print(const Loaded& loaded)
{
    Config config = loaded.config;
    std::string out;
    print_section(out, loaded, nullptr, &config.global);
    for (Pool& pool : config.pools) {
        out += '\n';
        print_section(out, loaded, &pool, &config.global);
    }
    return out;
}

}  // namespace config
