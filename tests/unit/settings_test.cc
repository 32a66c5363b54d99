#include "config/settings.h"
#include "tests/catch.h"

#include <cstring>
#include <set>

using namespace config;

namespace {

constexpr Range any{0, UINT64_MAX};

// The text of the mistake, "" when there is none.
std::string mistake(std::string_view key, std::string_view value)
{
    Global global;
    Pool pool;
    const Setting* setting = find_setting(Scope::global, key);
    if (setting == nullptr)
        setting = find_setting(Scope::pool, key);
    REQUIRE(setting != nullptr);
    return set(*setting, key, value, {&global, &pool}).value_or("");
}

Pool pool_with(std::string_view key, std::string_view value)
{
    Pool pool;
    pool.name = "www";
    const Setting* setting = find_setting(Scope::pool, key);
    REQUIRE(setting != nullptr);
    REQUIRE(set(*setting, key, value, {nullptr, &pool}) == std::nullopt);
    return pool;
}

std::string round_trip(std::string_view key, std::string_view value)
{
    Pool pool = pool_with(key, value);
    return format(*find_setting(Scope::pool, key), key, {nullptr, &pool});
}

}  // namespace

TEST_CASE("settings: durations take ms s m h and a bare number is seconds")
{
    CHECK(parse_duration("250ms", any).value() == Duration(250));
    CHECK(parse_duration("30", any).value() == Duration(30'000));
    CHECK(parse_duration("30s", any).value() == Duration(30'000));
    CHECK(parse_duration("5m", any).value() == Duration(300'000));
    CHECK(parse_duration("2h", any).value() == Duration(7'200'000));
    CHECK(parse_duration("2 h", any).value() == Duration(7'200'000));
    CHECK(parse_duration("0", any).value() == Duration(0));
}

TEST_CASE("settings: text that is no duration is refused")
{
    for (const char* text :
         {"", " ", "s", "abc", "-1", "+1", "1.5s", "1e9", "3d", "30sec", "1h30m", "0x10"})
        CHECK_FALSE(parse_duration(text, any));
    CHECK_FALSE(parse_duration("99999999999999999999", any));
    CHECK_FALSE(parse_duration("9999999999999999999h", any));
}

TEST_CASE("settings: sizes take k M G in either case and a bare number is bytes")
{
    CHECK(parse_size("0", any).value() == 0);
    CHECK(parse_size("1000", any).value() == 1000);
    CHECK(parse_size("64k", any).value() == 64 << 10);
    CHECK(parse_size("64K", any).value() == 64 << 10);
    CHECK(parse_size("8M", any).value() == 8 << 20);
    CHECK(parse_size("8m", any).value() == 8 << 20);
    CHECK(parse_size("3G", any).value() == 3ULL << 30);
    for (const char* text : {"", "k", "-1k", "1.5M", "1e3", "3q", "3kB", "10T", "99999999999999G"})
        CHECK_FALSE(parse_size(text, any));
}

TEST_CASE("settings: numbers are digits within their range")
{
    const Range range{1, 100};
    CHECK(parse_number("1", range).value() == 1);
    CHECK(parse_number("100", range).value() == 100);
    for (const char* text :
         {"0", "101", "99999999999", "-1", "+1", "1e2", "0x1", "1 ", "", "9999999999999999999999"})
        CHECK_FALSE(parse_number(text, range));
    CHECK(parse_number("0", range).error() == "\"0\" is out of range: from 1 to 100");
}

TEST_CASE("settings: nice values go from -20 to 19")
{
    CHECK(parse_nice("-20").value() == -20);
    CHECK(parse_nice("0").value() == 0);
    CHECK(parse_nice("19").value() == 19);
    for (const char* text : {"", "-", "-21", "20", "+5", "--5", "5 ", "x", "-99999999999999999999"})
        CHECK_FALSE(parse_nice(text));
    CHECK(parse_nice("20").error() == "\"20\" is no nice value: from -20, which needs root, to 19");
}

TEST_CASE("settings: a nice value is none until it is set")
{
    CHECK_FALSE(Pool().nice);
    CHECK(pool_with("nice", "-5").nice == -5);
    CHECK(round_trip("nice", "-5") == "-5");
    CHECK(round_trip("nice", "") == "");
}

TEST_CASE("settings: modes are octal up to 0777")
{
    CHECK(parse_mode("0660").value() == 0660);
    CHECK(parse_mode("660").value() == 0660);
    CHECK(parse_mode("0").value() == 0);
    for (const char* text : {"", "888", "01777", "-1", "rw", "0o660"})
        CHECK_FALSE(parse_mode(text));
    CHECK(format_mode(0660) == "0660");
    CHECK(format_mode(7) == "0007");
}

TEST_CASE("settings: flags are yes or no and their usual names")
{
    for (const char* text : {"yes", "on", "true", "1"})
        CHECK(parse_flag(text).value());
    for (const char* text : {"no", "off", "false", "0"})
        CHECK_FALSE(parse_flag(text).value());
    for (const char* text : {"", "YES", "maybe", "2"})
        CHECK_FALSE(parse_flag(text));
}

TEST_CASE("settings: durations and sizes are printed in the largest unit that fits")
{
    CHECK(format_duration(Duration(0)) == "0");
    CHECK(format_duration(Duration(1)) == "1ms");
    CHECK(format_duration(Duration(1500)) == "1500ms");
    CHECK(format_duration(Duration(90'000)) == "90s");
    CHECK(format_duration(Duration(120'000)) == "2m");
    CHECK(format_duration(Duration(7'200'000)) == "2h");
    CHECK(format_size(0) == "0");
    CHECK(format_size(1023) == "1023");
    CHECK(format_size(1 << 10) == "1k");
    CHECK(format_size(3 << 20) == "3M");
    CHECK(format_size((3 << 20) + 1024) == "3073k");
    CHECK(format_size(2048ULL << 30) == "2048G");
}

TEST_CASE("settings: what is printed parses to the same value")
{
    for (const long count : {0L, 1L, 999L, 1000L, 59'000L, 60'000L, 3'600'000L, 86'400'001L})
        CHECK(parse_duration(format_duration(Duration(count)), any).value() == Duration(count));
    for (const unsigned long bytes :
         {0UL, 1UL, 1023UL, 1024UL, 1UL << 20, (1UL << 30) + 1, 5UL << 40})
        CHECK(parse_size(format_size(bytes), any).value() == bytes);
}

TEST_CASE("settings: the default of each row is the default of its structure")
{
    for (const Setting& setting : settings()) {
        if (setting.type == Type::environment || setting.type == Type::include)
            continue;
        INFO(setting.key);
        Global global;
        Pool pool;
        const std::string built_in = format(setting, setting.key, {&global, &pool});
        CHECK(built_in == setting.by_default);
        REQUIRE(set(setting, setting.key, setting.by_default, {&global, &pool}) == std::nullopt);
        CHECK(format(setting, setting.key, {&global, &pool}) == built_in);
    }
}

TEST_CASE("settings: keys option names and letters are each used once")
{
    std::set<std::string_view> keys;
    std::set<std::string_view> options;
    std::set<char> letters;
    for (const Setting& setting : settings()) {
        INFO(setting.key);
        CHECK(keys.insert(setting.key).second);
        CHECK((setting.option.empty() || options.insert(setting.option).second));
        CHECK((setting.letter == 0 || letters.insert(setting.letter).second));
        CHECK_FALSE(setting.help.empty());
    }
    CHECK(keys.size() > 50);
}

TEST_CASE("settings: a value goes into the field of its row")
{
    CHECK(pool_with("workers", "7").workers == 7);
    CHECK(pool_with("workers", "auto").workers == 0);
    CHECK(pool_with("root", "/srv/cgi").root == "/srv/cgi");
    CHECK(pool_with("handler", "module").handler == HandlerKind::module);
    CHECK(pool_with("script_stderr", "both").script_stderr == StderrTarget::both);
    CHECK(pool_with("listen_mode", "0600").listen_mode == 0600);
    CHECK(pool_with("timeout", "1m").timeout == Duration(60'000));
    CHECK(pool_with("max_body_size", "10M").max_body_size == 10 << 20);
    CHECK(pool_with("no_new_privs", "no").no_new_privs == false);
    CHECK(pool_with("rlimit_as", "1G").rlimits.as == 1ULL << 30);
    CHECK(pool_with("rlimit_cpu", "2m").rlimits.cpu == 120U);
    CHECK(pool_with("rlimit_nofile", "256").rlimits.nofile == 256U);
    CHECK(pool_with("rlimit_core", "unlimited").rlimits.core == UINT64_MAX);
    CHECK(pool_with("rlimit_core", "").rlimits.core == std::nullopt);
    CHECK(pool_with("env.A_1", "x = y").env == Environment{{"A_1", "x = y"}});
    CHECK(pool_with("bind", "a:1, b:2 c:3").bind == std::vector<std::string>{"a:1", "b:2", "c:3"});
    Global global;
    CHECK_FALSE(set(*find_setting(Scope::global, "log_syslog"), "log_syslog", "yes", {&global}));
    CHECK(global.log_syslog);
}

TEST_CASE("settings: words add up until an empty value clears them")
{
    Pool pool;
    const Setting& bind = *find_setting(Scope::pool, "bind");
    CHECK_FALSE(set(bind, "bind", "a:1", {nullptr, &pool}));
    CHECK_FALSE(set(bind, "bind", "b:2", {nullptr, &pool}));
    CHECK(pool.bind == std::vector<std::string>{"a:1", "b:2"});
    CHECK_FALSE(set(bind, "bind", "", {nullptr, &pool}));
    CHECK(pool.bind.empty());
}

TEST_CASE("settings: values are printed as a file would write them")
{
    CHECK(round_trip("workers", "auto") == "auto");
    CHECK(round_trip("rlimit_cpu", "2m") == "120s");
    CHECK(round_trip("rlimit_as", "1024M") == "1G");
    CHECK(round_trip("rlimit_nproc", "unlimited") == "unlimited");
    CHECK(round_trip("allowed_extensions", ".cgi,.pl") == ".cgi .pl");
    CHECK(round_trip("umask", "77") == "0077");
    CHECK(round_trip("env.X", "1") == "1");
    CHECK(round_trip("script_stderr", "web") == "web");
    CHECK(round_trip("ignore_client_abort", "on") == "yes");
}

TEST_CASE("settings: a wrong value is named together with what would be right")
{
    CHECK(mistake("workers", "many") == "\"many\" is not a whole number: digits only, or auto");
    CHECK(mistake("workers", "0") == "\"0\" is out of range: from 1 to 4096, or auto");
    CHECK(mistake("backlog", "auto") == "\"auto\" is not a whole number: digits only");
    CHECK(mistake("log_level", "inf") ==
          "\"inf\" is not known: debug, info, warning, error or critical");
    CHECK(mistake("handler", "") == "\"\" is not known: cgi or module");
    CHECK(mistake("worker_class", "gevent") == "\"gevent\" is not known: sync");
    CHECK(mistake("daemon", "maybe") == "\"maybe\" is neither yes nor no");
    CHECK(mistake("timeout", "soon") ==
          "\"soon\" is not a duration: a number of seconds or with ms, s, m, h, such as 30s");
    CHECK(mistake("kill_grace", "0") == "\"0\" is out of range: from 1ms to 8760h");
    CHECK(mistake("rlimit_cpu", "1500ms") == "\"1500ms\" is not in whole seconds");
    CHECK(mistake("max_body_size", "3q") ==
          "\"3q\" is not a size: a number of bytes or with k, M, G, such as 64k");
    CHECK(mistake("rlimit_as", "x") == "\"x\" is not a size: a number of bytes or with k, M, G, "
                                       "such as 64k, or unlimited");
    CHECK(mistake("umask", "9") ==
          "\"9\" is not a mode: octal digits from 0 to 0777, such as 0660");
}

TEST_CASE("settings: a wrong value changes nothing")
{
    Pool pool;
    CHECK(set(*find_setting(Scope::pool, "workers"), "workers", "x", {nullptr, &pool}));
    CHECK(set(*find_setting(Scope::pool, "timeout"), "timeout", "x", {nullptr, &pool}));
    CHECK(set(*find_setting(Scope::pool, "env.1"), "env.1", "x", {nullptr, &pool}));
    CHECK(pool.workers == 0);
    CHECK(pool.timeout == Duration(30'000));
    CHECK(pool.env.empty());
}

TEST_CASE("settings: control characters are refused in every kind of text")
{
    for (const char* key : {"root", "user", "bind", "env.A", "access_log", "access_log_format"}) {
        INFO(key);
        CHECK_THAT(mistake(key, "a\nb"), Catch::Matchers::Contains("control characters"));
        CHECK_THAT(mistake(key, std::string_view("a\0b", 3)),
                   Catch::Matchers::Contains("control characters"));
        CHECK_THAT(mistake(key, "a\x1b[m"), !Catch::Matchers::Contains("\x1b"));
    }
}

TEST_CASE("settings: names of variables are letters digits and underscores")
{
    CHECK(mistake("env.PATH", "/bin").empty());
    CHECK(mistake("env._x9", "").empty());
    for (const char* key : {"env.", "env.9A", "env.A-B", "env.A B", "env.A=B", "env.\xc3\xa4"})
        CHECK_THAT(mistake(key, "x"), Catch::Matchers::Contains("is not the name of a variable"));
}

TEST_CASE("settings: keys are found in their scope only")
{
    CHECK(find_setting(Scope::global, "pid") != nullptr);
    CHECK(find_setting(Scope::pool, "pid") == nullptr);
    CHECK(find_setting(Scope::pool, "root") != nullptr);
    CHECK(find_setting(Scope::global, "root") == nullptr);
    CHECK(find_setting(Scope::pool, "env.ANY")->type == Type::environment);
    CHECK(find_setting(Scope::pool, "Root") == nullptr);
    CHECK(find_setting(Scope::pool, "") == nullptr);
}

TEST_CASE("settings: the nearest key is what was probably meant")
{
    CHECK(nearest_key(Scope::pool, "worker") == "workers");
    CHECK(nearest_key(Scope::pool, "wrokers") == "workers");
    CHECK(nearest_key(Scope::pool, "max_request") == "max_requests");
    CHECK(nearest_key(Scope::pool, "listen_mod") == "listen_mode");
    CHECK(nearest_key(Scope::global, "loglevel") == "log_level");
    CHECK(nearest_key(Scope::pool, "colour_of_the_bikeshed").empty());
    CHECK(nearest_key(Scope::pool, "x").empty());
    CHECK(nearest_key(Scope::pool, "foo").empty());
    CHECK(nearest_key(Scope::pool, "").empty());
}
