// The manual pages follow the table of settings and the options.
#include "config/options.h"
#include "config/settings.h"
#include "ctl/options.h"
#include "tests/catch.h"
#include "tests/system/support/temp_dir.h"

#include <cctype>
#include <cstdlib>
#include <set>
#include <sstream>

using namespace config;
using Catch::Matchers::Contains;

namespace {

std::string page(const std::string& name)
{
    const char* source = std::getenv("TRICORN_SRCDIR");
    std::string text = read_file(std::string(source != nullptr ? source : ".") + "/man/" + name);
    REQUIRE_FALSE(text.empty());
    return text;
}

// What stands beneath the heading of a key; empty when there is none.
std::string item(const std::string& text, std::string_view key)
{
    const std::string heading = "\n.It Ic " + std::string(key) + " No = ";
    const std::size_t begin = text.find(heading);
    if (begin == std::string::npos)
        return {};
    return text.substr(begin, text.find("\n.It Ic ", begin + 1) - begin);
}

std::string as_mdoc(std::string_view value)
{
    return value == "-" ? "\\-" : std::string(value);
}

// Every "--name" of the help.
std::set<std::string> long_options()
{
    std::set<std::string> names;
    const std::string text = help();
    for (std::size_t at = text.find("--"); at != std::string::npos; at = text.find("--", at + 2)) {
        std::size_t end = at + 2;
        while (std::islower(static_cast<unsigned char>(text[end])) != 0 || text[end] == '-')
            ++end;
        names.insert(text.substr(at + 2, end - at - 2));
    }
    return names;
}

}  // namespace

TEST_CASE("manual: tricorn.conf.5 explains every key and names its default")
{
    const std::string text = page("tricorn.conf.5");
    for (const Setting& setting : settings()) {
        INFO(setting.key);
        const std::string about = item(text, setting.key);
        REQUIRE_FALSE(about.empty());
        const std::string expected = setting.by_default.empty()
                                         ? "\nDefault: none"
                                         : "\nDefault:\n.Cm " + as_mdoc(setting.by_default) + " ";
        CHECK_THAT(about, Contains(expected));
        for (const std::string& choice : parse_words(setting.choices))
            CHECK_THAT(about, Contains(choice));
    }
}

TEST_CASE("manual: tricorn.conf.5 explains no key that there is not")
{
    const std::string text = page("tricorn.conf.5");
    static constexpr std::string_view heading = "\n.It Ic ";
    for (std::size_t at = text.find(heading); at != std::string::npos;
         at = text.find(heading, at + 1)) {
        const std::size_t begin = at + heading.size();
        const std::string key = text.substr(begin, text.find(' ', begin) - begin);
        INFO(key);
        CHECK((find_setting(Scope::global, key) != nullptr ||
               find_setting(Scope::pool, key) != nullptr));
    }
}

TEST_CASE("manual: tricorn.8 explains every option")
{
    const std::string text = page("tricorn.8");
    const auto options = long_options();
    CHECK(options.size() > 25);
    for (const std::string& option : options) {
        INFO(option);
        CHECK((text.find("Fl Fl " + option + "\n") != std::string::npos ||
               text.find("Fl Fl " + option + " ") != std::string::npos));
    }
    for (const Setting& setting : settings())
        if (setting.letter != 0)
            CHECK_THAT(text,
                       Contains(std::string("\n.It Fl ") + setting.letter + " , Fl Fl " +
                                std::string(setting.option)));
}

TEST_CASE("manual: tricorn.8 lists the signals and the exit codes")
{
    const std::string text = page("tricorn.8");
    for (const char* signal : {"TERM", "INT", "QUIT", "HUP", "TTIN", "TTOU", "USR1", "WINCH"})
        CHECK_THAT(text,
                   Contains("Dv " + std::string(signal)) || Contains(", " + std::string(signal)));
    for (const char* code : {"0", "1", "3", "4", "64", "78"})
        CHECK_THAT(text, Contains("\n.It " + std::string(code) + "\n"));
}

TEST_CASE("manual: tricornctl.1 and the completion know every command and option of its help")
{
    const std::string text = page("tricornctl.1");
    const std::string completion = read_file(std::string(std::getenv("TRICORN_SRCDIR")) +
                                             "/packaging/bash-completion/tricornctl");
    std::istringstream lines(ctl::help());
    int commands = 0;
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        if (line.starts_with("  ") && std::islower(static_cast<unsigned char>(line[2])) != 0) {
            const std::string command = line.substr(2, line.find(' ', 2) - 2);
            CHECK((text.find("\n.It Cm " + command + "\n") != std::string::npos ||
                   text.find("\n.It Cm " + command + " Ar ") != std::string::npos));
            CHECK_THAT(completion, Contains(" " + command) || Contains("'" + command));
            ++commands;
        } else if (const auto dashes = line.find("--"); line.starts_with("  ")) {
            const std::string option = line.substr(dashes, line.find(' ', dashes) - dashes);
            CHECK_THAT(text, Contains("Fl Fl " + option.substr(2)));
            CHECK_THAT(completion, Contains(option));
        }
    }
    CHECK(commands == 12);
    for (const char* code : {"0", "1", "2", "64"})
        CHECK_THAT(text, Contains("\n.It " + std::string(code) + "\n"));
}
