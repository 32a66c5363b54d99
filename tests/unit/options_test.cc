#include "base/error.h"
#include "config/options.h"
#include "config/settings.h"
#include "tests/catch.h"

using namespace config;

namespace {

using Words = std::vector<std::string>;

Options options(const Words& words)
{
    return parse_options(words, "command line");
}

// The message of a refusal, with exit_usage.
std::string refusal(const Words& words)
{
    try {
        options(words);
    } catch (const StartError& error) {
        CHECK(error.exit_code() == exit_usage);
        return error.what();
    }
    FAIL("was taken");
    return {};
}

Words split(std::string_view text)
{
    return split_words(text, "TRICORN_ARGS");
}

}  // namespace

TEST_CASE("options: long and short forms give the same setting")
{
    for (const Words& words :
         {Words{"--workers", "4"}, Words{"--workers=4"}, Words{"-w", "4"}, Words{"-w4"}}) {
        const Options given = options(words);
        REQUIRE(given.items.size() == 1);
        CHECK(given.items[0].key == "workers");
        CHECK(given.items[0].value == "4");
        CHECK(given.items[0].option == "--workers");
        CHECK_FALSE(given.items[0].from_set);
    }
}

TEST_CASE("options: every option of the table is known")
{
    for (const Setting& setting : settings()) {
        if (setting.option.empty())
            continue;
        INFO(setting.option);
        Words words{"--" + std::string(setting.option)};
        if (!setting.argument.empty())
            words.emplace_back("A=B");
        REQUIRE(options(words).items.size() == 1);
        const std::string key = options(words).items[0].key;
        CHECK(find_setting(setting.scope, key) == &setting);
        if (setting.letter != 0) {
            words[0] = std::string("-") + setting.letter;
            CHECK(options(words).items[0].key == key);
        }
    }
}

TEST_CASE("options: names differ from keys where gunicorn says so")
{
    const Options given = options({"--access-logfile",
                                   "-",
                                   "--access-logformat",
                                   "json",
                                   "--error-logfile",
                                   "/e",
                                   "--log-level",
                                   "debug"});
    REQUIRE(given.items.size() == 4);
    CHECK(given.items[0].key == "access_log");
    CHECK(given.items[0].value == "-");
    CHECK(given.items[1].key == "access_log_format");
    CHECK(given.items[2].key == "error_log");
    CHECK(given.items[3].key == "log_level");
}

TEST_CASE("options: flags need no value")
{
    const Options given = options({"-D", "--log-syslog", "--allow-root"});
    REQUIRE(given.items.size() == 3);
    CHECK(given.items[0].key == "daemon");
    CHECK(given.items[0].value == "yes");
    CHECK(given.items[2].key == "allow_root");
    CHECK_THAT(refusal({"--daemon=no"}), Catch::Matchers::Contains("daemon"));
}

TEST_CASE("options: repeated options keep their order")
{
    const Options given = options({"-b", "unix:a", "-w", "2", "--bind=b:1", "dir"});
    REQUIRE(given.items.size() == 3);
    CHECK(given.items[0].value == "unix:a");
    CHECK(given.items[2].value == "b:1");
    CHECK(given.target == "dir");
}

TEST_CASE("options: variables are split at the first equals sign")
{
    const Options given = options({"-e", "A=b=c", "--env", "E="});
    REQUIRE(given.items.size() == 2);
    CHECK(given.items[0].key == "env.A");
    CHECK(given.items[0].value == "b=c");
    CHECK(given.items[1].key == "env.E");
    CHECK(given.items[1].value.empty());
    CHECK(refusal({"-e", "A"}) ==
          "command line: --env A: write --env NAME=VALUE (see tricorn --help)");
}

TEST_CASE("options: set takes any key")
{
    const Options given = options({"--set", "kill_grace=5s", "--set=www.root=/srv/a=b"});
    REQUIRE(given.items.size() == 2);
    CHECK(given.items[0].from_set);
    CHECK(given.items[0].key == "kill_grace");
    CHECK(given.items[1].key == "www.root");
    CHECK(given.items[1].value == "/srv/a=b");
    for (const char* word : {"kill_grace", "=5"})
        CHECK_THAT(refusal({"--set", word}), Catch::Matchers::Contains("write --set KEY=VALUE"));
}

TEST_CASE("options: what is to be done instead of serving")
{
    CHECK(options({}).action == Action::serve);
    CHECK(options({"--check-config"}).action == Action::check_config);
    CHECK(options({"--print-config"}).action == Action::print_config);
    CHECK(options({"--version"}).action == Action::version);
    CHECK(options({"-v"}).action == Action::version);
    CHECK(options({"-V"}).action == Action::build_info);
    CHECK(options({"--build-info"}).action == Action::build_info);
    CHECK(options({"-h", "--version"}).action == Action::help);
    CHECK(options({"--help", "--check-config"}).action == Action::help);
}

TEST_CASE("options: an unknown option is named with the nearest known one")
{
    CHECK(refusal({"--wrokers", "3"}) == "command line: --wrokers is not an option: did you mean "
                                         "--workers? (see tricorn --help)");
    CHECK(refusal({"--kill-all"}) ==
          "command line: --kill-all is not an option (see tricorn --help)");
    CHECK_THAT(refusal({"-X"}), Catch::Matchers::Contains("-X is not an option"));
}

TEST_CASE("options: abbreviations are not guessed")
{
    CHECK_THAT(refusal({"--work", "3"}), Catch::Matchers::Contains("--work is not an option"));
}

TEST_CASE("options: a missing argument is named")
{
    CHECK_THAT(refusal({"-w"}), Catch::Matchers::Contains("--workers"));
    CHECK_THAT(refusal({"dir", "--bind"}), Catch::Matchers::Contains("--bind"));
}

TEST_CASE("options: there is at most one TARGET")
{
    CHECK(options({"--", "-odd-name"}).target == "-odd-name");
    CHECK_THAT(refusal({"a", "b"}), Catch::Matchers::Contains("\"b\" is one TARGET too many"));
    CHECK_THAT(refusal({""}), Catch::Matchers::Contains("TARGET"));
}

TEST_CASE("options: the configuration file is the last one given")
{
    CHECK(options({"-c", "a", "--config=b"}).file == "b");
    CHECK(options({}).file.empty());
}

TEST_CASE("options: text is split into words as a shell does")
{
    CHECK(split("").empty());
    CHECK(split("  \t\n").empty());
    CHECK(split("a  b\tc\nd") == Words{"a", "b", "c", "d"});
    CHECK(split("'a b' \"c d\" e\\ f") == Words{"a b", "c d", "e f"});
    CHECK(split("a'b'\"c\"d") == Words{"abcd"});
    CHECK(split("'' x \"\"") == Words{"", "x", ""});
    CHECK(split("'a\\b' 'it'\\''s'") == Words{"a\\b", "it's"});
    CHECK(split("\"a\\\"b\\\\c\\d\\$e\"") == Words{"a\"b\\c\\d$e"});
    CHECK(split("'a\"b' \"c'd\"") == Words{"a\"b", "c'd"});
    CHECK(split("$HOME *.c ~ `x`") == Words{"$HOME", "*.c", "~", "`x`"});
    CHECK(split("a\\") == Words{"a\\"});
}

TEST_CASE("options: a quote that is not closed is refused")
{
    for (const char* text : {"'a", "\"a", "a 'b\"", "\"a\\\""}) {
        INFO(text);
        CHECK_THROWS_AS(split(text), StartError);
    }
}

TEST_CASE("options: the help names every option and fits 80 columns")
{
    const std::string text = help();
    for (const Setting& setting : settings())
        if (!setting.option.empty())
            CHECK_THAT(text, Catch::Matchers::Contains("--" + std::string(setting.option)));
    for (const char* option : {"-c, --config FILE",
                               "--set [POOL.]KEY=VALUE",
                               "--check-config",
                               "--print-config",
                               "-v, --version",
                               "-V, --build-info",
                               "-h, --help"})
        CHECK_THAT(text, Catch::Matchers::Contains(option));
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         end = text.find('\n', begin)) {
        // The path of an odd prefix cannot be broken.
        const std::string line = text.substr(begin, end - begin);
        CHECK((line.size() <= 80 || line.ends_with(TRICORN_CONFIG_FILE)));
        begin = end + 1;
    }
    CHECK(begin == text.size());
}
