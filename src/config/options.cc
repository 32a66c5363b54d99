#include "config/options.h"

#include "base/error.h"
#include "base/text.h"
#include "config/settings.h"

#include <boost/program_options.hpp>

#include <algorithm>
#include <sstream>
#include <utility>

namespace config {
namespace {

namespace po = boost::program_options;

// Options that are no settings.
struct Plain {
    std::string_view option;
    char letter;
    std::string_view argument;
    std::string_view help;
};

constexpr Plain plain_options[] = {
    {"config", 'c', "FILE", "read FILE instead of " TRICORN_CONFIG_FILE},
    {"set", 0, "[POOL.]KEY=VALUE", "set any key of tricorn.conf(5); may be repeated"},
    {"run", 0, "PROGRAM", "run PROGRAM for one request from the shell and print the reply"},
    {"pool", 0, "POOL", "the pool that --run runs PROGRAM in"},
    {"check-config", 0, "", "check the configuration and exit"},
    {"print-config", 0, "", "print the configuration in use and exit"},
    {"version", 'v', "", "print the version and exit"},
    {"build-info", 'V', "", "print what this program was built with and exit"},
    {"help", 'h', "", "print this text and exit"},
};

[[noreturn]] void wrong_usage(const std::string& source, const std::string& text)
{
    throw StartError(exit_usage, source + ": " + text + " (see tricorn --help)");
}

std::vector<Plain> all_options()
{
    std::vector<Plain> all(std::begin(plain_options), std::begin(plain_options) + 2);
    for (const Setting& setting : settings())
        if (!setting.option.empty())
            all.push_back({setting.option, setting.letter, setting.argument, setting.help});
    all.insert(all.end(), std::begin(plain_options) + 2, std::end(plain_options));
    return all;
}

po::options_description description()
{
    po::options_description options;
    for (const Plain& option : all_options()) {
        std::string names(option.option);
        if (option.letter != 0)
            names += std::string(",") + option.letter;
        if (option.argument.empty())
            options.add_options()(names.c_str(), "");
        else
            options.add_options()(names.c_str(), po::value<std::string>(), "");
    }
    return options;
}

std::string nearest_option(std::string_view name)
{
    std::vector<std::string_view> names;
    for (const Plain& option : all_options())
        names.push_back(option.option);
    const std::size_t dashes = std::min(name.find_first_not_of('-'), name.size());
    const std::string_view found = nearest(name.substr(dashes), names);
    return found.empty() ? "" : ": did you mean --" + std::string(found) + "?";
}

po::parsed_options parse(const std::vector<std::string>& words, const std::string& source)
{
    const auto options = description();
    try {
        namespace style = po::command_line_style;
        return po::command_line_parser(words)
            .options(options)
            .style(style::unix_style & ~style::allow_guessing)
            .run();
    } catch (const po::unknown_option& error) {
        const std::string name = error.get_option_name();
        wrong_usage(source, name + " is not an option" + nearest_option(name));
    } catch (const po::error& error) {
        wrong_usage(source, error.what());
    }
}

Options::Item item(const Setting& setting, const po::option& given)
{
    const std::string value = given.value.empty() ? "yes" : given.value.front();
    Options::Item item{"--" + given.string_key, std::string(setting.key), value, false};
    if (setting.type == Type::environment) {
        const std::size_t equals = value.find('=');
        item.key = "env." + value.substr(0, equals);
        item.value = equals == std::string::npos ? "" : value.substr(equals + 1);
    }
    return item;
}

bool take_plain(const po::option& given, const std::string& source, Options& options)
{
    static constexpr std::pair<std::string_view, Action> actions[] = {
        {"check-config", Action::check_config},
        {"print-config", Action::print_config},
        {"version", Action::version},
        {"build-info", Action::build_info},
        {"help", Action::help}};
    for (const auto& [name, action] : actions) {
        if (given.string_key == name) {
            options.action = std::max(options.action, action);
            return true;
        }
    }
    if (given.string_key == "config")
        options.file = given.value.at(0);
    else if (given.string_key == "pool")
        options.pool = given.value.at(0);
    else if (given.string_key == "run") {
        options.run = given.value.at(0);
        options.action = std::max(options.action, Action::run);
    } else if (given.string_key == "set") {
        const std::string& word = given.value.at(0);
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos || equals == 0)
            wrong_usage(source, "--set " + word + ": write --set KEY=VALUE");
        options.items.push_back({"--set", word.substr(0, equals), word.substr(equals + 1), true});
    } else
        return false;
    return true;
}

void take(const po::option& given, const std::string& source, Options& options)
{
    if (given.string_key.empty()) {
        for (const std::string& word : given.value) {
            if (!options.target.empty() || word.empty())
                wrong_usage(source, text::in_quotes(word) + " is one TARGET too many");
            options.target = word;
        }
        return;
    }
    if (take_plain(given, source, options))
        return;
    for (const Setting& setting : settings()) {
        if (setting.option != given.string_key)
            continue;
        if (setting.type == Type::environment && given.value.at(0).find('=') == std::string::npos)
            wrong_usage(source, "--env " + given.value.at(0) + ": write --env NAME=VALUE");
        options.items.push_back(item(setting, given));
    }
}

// Appends a word character by character while a shell would take it for one word.
class Splitter {
public:
    explicit Splitter(std::string_view text) : rest_(text) {}

    std::vector<std::string> split(const std::string& source)
    {
        while (!rest_.empty()) {
            const char c = take();
            if (quote_ == 0 && (c == ' ' || c == '\t' || c == '\n'))
                finish();
            else
                add(c);
        }
        if (quote_ != 0)
            wrong_usage(source, std::string("a quote ") + quote_ + " is not closed");
        finish();
        return std::move(words_);
    }

private:
    char take()
    {
        const char c = rest_.front();
        rest_.remove_prefix(1);
        return c;
    }

    void add(char c)
    {
        started_ = true;  // '' is a word too
        if (c == quote_)
            quote_ = 0;
        else if (quote_ == 0 && (c == '\'' || c == '"'))
            quote_ = c;
        else if (c == '\\' && escapes())
            word_ += take();
        else
            word_ += c;
    }

    // In double quotes a backslash stands for itself before most characters.
    bool escapes() const
    {
        static constexpr std::string_view special = "\"\\$`";
        if (quote_ == '\'' || rest_.empty())
            return false;
        return quote_ == 0 || special.find(rest_.front()) != std::string_view::npos;
    }

    void finish()
    {
        if (started_)
            words_.push_back(std::exchange(word_, {}));
        started_ = false;
    }

    std::string_view rest_;
    std::vector<std::string> words_;
    std::string word_;
    bool started_ = false;
    char quote_ = 0;
};

// "  -w, --workers N       text", wrapped behind its column.
std::string help_line(std::string_view option, std::string_view text)
{
    static constexpr std::size_t column = 30;
    static constexpr std::size_t width = 80;
    std::string out(option);
    std::size_t at = out.size();
    if (at + 2 > column)
        at = width;
    std::istringstream words{std::string(text)};
    for (std::string word; words >> word;) {
        if (at + 1 + word.size() >= width) {
            out += '\n';
            at = 0;
        }
        if (at < column) {
            out.append(column - at, ' ');
            at = column;
        } else {
            out += ' ';
            ++at;
        }
        out += word;
        at += word.size();
    }
    return out + '\n';
}

}  // namespace

Options parse_options(const std::vector<std::string>& words, const std::string& source)
{
    Options options;
    for (const po::option& given : parse(words, source).options)
        take(given, source, options);
    return options;
}

std::vector<std::string> split_words(std::string_view text, const std::string& source)
{
    return Splitter(text).split(source);
}

std::string help()
{
    std::string text = "usage: tricorn [options] [TARGET]\n\n"
                       "Serves CGI programs to web servers that speak FastCGI.\n"
                       "TARGET is a directory of CGI programs, one CGI program or a module (.so).\n"
                       "Without a TARGET the pools of the configuration file are served.\n\n";
    for (const Plain& option : all_options()) {
        std::string names =
            option.letter != 0 ? std::string("  -") + option.letter + ", " : "      ";
        names += "--" + std::string(option.option);
        if (!option.argument.empty())
            names += " " + std::string(option.argument);
        text += help_line(names, option.help);
    }
    return text + "\nDurations take ms, s, m, h (a bare number is seconds), sizes k, M, G.\n"
                  "Options may also stand in TRICORN_ARGS. See tricorn(8) and tricorn.conf(5).\n";
}

std::string build_info()
{
#ifdef HAVE_SYSTEMD
    const std::string_view systemd = "yes";
#else
    const std::string_view systemd = "no";
#endif
    const std::pair<std::string_view, std::string_view> facts[] = {
        {"handlers", find_setting(Scope::pool, "handler")->choices},
        {"systemd", systemd},
        {"configuration file", TRICORN_CONFIG_FILE},
        {"control socket", default_control},
        {"compiler", __VERSION__}};
    std::string text = "tricorn " PACKAGE_VERSION "\n";
    for (const auto& [name, value] : facts)
        text.append(name).append(": ").append(value).append("\n");
    return text;
}

}  // namespace config
