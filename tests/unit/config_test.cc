#include "config/config.h"
#include "tests/catch.h"
#include "tests/unit/config_site.h"

#include <cstdlib>

using namespace config;
using Catch::Matchers::Contains;

namespace {

std::string origin(const Loaded& loaded, const std::string& section, const std::string& key)
{
    const auto found = loaded.origins.find({section, key});
    return found == loaded.origins.end() ? "default" : found->second.back().text();
}

// All values, as if each were a default.
std::string print_values(const Loaded& loaded)
{
    Loaded bare;
    bare.config = loaded.config;
    return print(bare);
}

}  // namespace

TEST_CASE("config: a file sets global settings and those of its pools")
{
    Site site;
    site.file("[global]\nlog_level = debug\n" + site.pool("a", "workers = 3\n") + site.pool("b"));
    const Loaded loaded = site.load();
    CHECK(loaded.file == site.conf());
    CHECK(loaded.config.global.log_level == "debug");
    REQUIRE(loaded.config.pools.size() == 2);
    CHECK(loaded.config.pools[0].name == "a");
    CHECK(loaded.config.pools[0].workers == 3);
    CHECK(loaded.config.pools[1].name == "b");
    CHECK(loaded.config.pools[1].root == site.root());
    CHECK(origin(loaded, "a", "workers") == site.conf() + ":6");
}

TEST_CASE("config: later sources win")
{
    Site site;
    const auto timeout = [&] { return site.load().config.pools.at(0).timeout; };
    site.file(site.pool("www"));
    CHECK(timeout() == Duration(30'000));
    site.file(site.pool("www", "timeout = 10\n"));
    CHECK(timeout() == Duration(10'000));
    site.invocation.tricorn_args = "--timeout 20";
    CHECK(timeout() == Duration(20'000));
    CHECK(origin(site.load(), "www", "timeout") == "TRICORN_ARGS");
    site.file(site.pool("www", "timeout = 10\n"), {"-t", "40", "-t", "50s"});
    CHECK(timeout() == Duration(50'000));
    CHECK(origin(site.load(), "www", "timeout") == "command line");
}

TEST_CASE("config: the number of workers follows the CPUs unless it is given")
{
    Site site;
    const auto workers = [&] { return site.load().config.pools.at(0).workers; };
    site.file(site.pool("www"));
    CHECK(workers() >= 2);
    CHECK(workers() <= 32);
    const int by_cpus = workers();
    site.invocation.web_concurrency = "7";
    CHECK(workers() == 7);
    CHECK(origin(site.load(), "www", "workers") == "WEB_CONCURRENCY");
    site.file(site.pool("www", "workers = 9\n"));
    CHECK(workers() == 9);
    site.file(site.pool("www", "workers = auto\n"));
    CHECK(workers() == by_cpus);
    site.file(site.pool("www"), {"-w", "5"});
    CHECK(workers() == 5);
    site.file(site.pool("www"));
    site.invocation.web_concurrency = "many";
    CHECK_THAT(site.mistakes(exit_usage), Contains("WEB_CONCURRENCY: workers: \"many\""));
}

TEST_CASE("config: a TARGET that is a directory makes the pool www")
{
    Site site;
    const Loaded loaded = site.load({"cgi/"});
    CHECK(only_pool(loaded).name == "www");
    CHECK(only_pool(loaded).handler == HandlerKind::cgi);
    CHECK(only_pool(loaded).root == site.root());
    CHECK(only_pool(loaded).script.empty());
    CHECK(only_pool(loaded).bind == std::vector<std::string>{"127.0.0.1:9000"});
    CHECK(loaded.file.empty());
    CHECK(only_pool(site.load({"."})).root == site.directory.path());
    CHECK(only_pool(site.load({site.root()})).root == site.root());
}

TEST_CASE("config: a TARGET that is a program or a module is the pool's only one")
{
    Site site;
    Loaded loaded = site.load({"cgi/hello.cgi", "-b", "unix:s"});
    CHECK(only_pool(loaded).script == site.root() + "/hello.cgi");
    CHECK(only_pool(loaded).root.empty());
    CHECK(only_pool(loaded).bind == std::vector<std::string>{"unix:" + site.directory / "s"});
    loaded = site.load({"handler.so"});
    CHECK(only_pool(loaded).handler == HandlerKind::module);
    CHECK(only_pool(loaded).module == site.directory / "handler.so");
}

TEST_CASE("config: a TARGET that cannot be served is wrong usage")
{
    Site site;
    const auto refusal = [&](const char* target) {
        site.invocation.words = {target};
        return site.mistakes(exit_usage);
    };
    CHECK_THAT(refusal("nothing"), Contains("command line: nothing: No such file or directory"));
    CHECK_THAT(refusal("cgi/page.html"), Contains("not executable"));
    CHECK_THAT(refusal("/dev/null"), Contains("neither a file nor a directory"));
}

TEST_CASE("config: a TARGET replaces the program of a file's only pool")
{
    Site site;
    site.file(site.pool("app", "timeout = 5\n"), {"cgi/hello.cgi"});
    const Loaded loaded = site.load();
    CHECK(only_pool(loaded).name == "app");
    CHECK(only_pool(loaded).script == site.root() + "/hello.cgi");
    CHECK(only_pool(loaded).root.empty());
    CHECK(only_pool(loaded).timeout == Duration(5'000));
    site.file("[global]\nlog_level = debug\n", {"cgi"});
    CHECK(only_pool(site.load()).name == "www");
    CHECK(site.load().config.global.log_level == "debug");
    site.file(site.pool("a") + site.pool("b"), {"cgi"});
    CHECK_THAT(site.mistakes(exit_usage), Contains("a TARGET needs exactly one pool"));
}

TEST_CASE("config: pool options of the command line apply to every pool")
{
    Site site;
    site.file(site.pool("a", "workers = 2\n") + site.pool("b"),
              {"-w", "4", "--set", "b.workers=6"});
    const Loaded loaded = site.load();
    CHECK(loaded.config.pools.at(0).workers == 4);
    CHECK(loaded.config.pools.at(1).workers == 6);
}

TEST_CASE("config: a bind of the command line replaces those of the file")
{
    Site site;
    site.file(site.pool("www"), {"-b", "127.0.0.1:0", "-b", "unix:x"});
    CHECK(only_pool(site.load()).bind ==
          std::vector<std::string>{"127.0.0.1:0", "unix:" + site.directory / "x"});
    site.invocation.tricorn_args = "-b unix:y";
    CHECK(only_pool(site.load()).bind.size() == 2);
    site.file(site.pool("a") + site.pool("b"), {"-b", "127.0.0.1:0"});
    site.invocation.tricorn_args = "";
    CHECK(site.mistakes(exit_usage) ==
          "command line: --bind: needs exactly one pool, and there are "
          "2: write --set POOL.bind=ADDRESS");
    site.file(site.pool("a") + site.pool("b"), {"--set", "b.bind=unix:z"});
    CHECK(site.load().config.pools.at(1).bind ==
          std::vector<std::string>{"unix:" + site.directory / "z"});
}

TEST_CASE("config: set finds the pool whose name is longest")
{
    Site site;
    site.file(site.pool("a") + site.pool("a.b"),
              {"--set", "a.b.workers=3", "--set", "a.env.X=1", "--set", "log_level=error"});
    const Loaded loaded = site.load();
    CHECK(loaded.config.pools.at(1).workers == 3);
    CHECK(loaded.config.pools.at(0).env == Environment{{"X", "1"}});
    CHECK(loaded.config.pools.at(1).env.empty());
    CHECK(loaded.config.global.log_level == "error");
}

TEST_CASE("config: set refuses unknown keys and pools")
{
    Site site;
    site.file(site.pool("www"), {"--set", "www.wrokers=3", "--set", "other.workers=3"});
    CHECK(site.mistakes(exit_usage) ==
          "command line: --set www.wrokers: is not a key: did you mean workers?\n"
          "command line: --set other.workers: is not a key: see tricorn.conf(5)");
}

TEST_CASE("config: several addresses add up")
{
    Site site;
    site.file("[www]\nroot = cgi\nbind = unix:a, unix:b\nbind = 127.0.0.1:0\n");
    const Loaded loaded = site.load();
    CHECK(only_pool(loaded).bind == std::vector<std::string>{"unix:" + site.directory / "a",
                                                             "unix:" + site.directory / "b",
                                                             "127.0.0.1:0"});
    const auto& origins = loaded.origins.at({"www", "bind"});
    REQUIRE(origins.size() == 3);
    CHECK(origins[1].line == 3);
    CHECK(origins[2].line == 4);
}

TEST_CASE("config: relative paths of a file start at its directory")
{
    Site site;
    std::filesystem::create_directory(site.directory / "pools.d");
    write_file(site.directory / "pools.d/www.conf",
               "[www]\nroot = ../cgi\nbind = unix:www.sock\naccess_log = $pool.log\n");
    site.file("[global]\npid = t.pid\nerror_log = -\ninclude = pools.d/*.conf\n");
    site.invocation.directory = "/";
    const Loaded loaded = site.load();
    CHECK(loaded.config.global.pid == site.directory / "t.pid");
    CHECK(loaded.config.global.error_log == "-");
    CHECK(only_pool(loaded).root == site.root());
    CHECK(only_pool(loaded).bind ==
          std::vector<std::string>{"unix:" + site.directory / "pools.d/www.sock"});
    CHECK(only_pool(loaded).access_log == site.directory / "pools.d/www.log");
}

TEST_CASE("config: a relative configuration file starts at the working directory")
{
    Site site;
    site.file(site.pool("www"));
    site.invocation.words = {"-c", "t.conf"};
    CHECK(site.load().file == site.conf());
}

TEST_CASE("config: the name of the pool stands for itself in values")
{
    Site site;
    site.file(site.pool("www", "env.NAME = $pool/$pool\nenv.COST = $5\n"));
    CHECK(only_pool(site.load()).env == Environment{{"COST", "$5"}, {"NAME", "www/www"}});
}

TEST_CASE("config: variables of the command line are added to those of the file")
{
    Site site;
    site.file(site.pool("www", "env.A = 1\nenv.B = 2\n"), {"-e", "B=3", "-e", "C= x "});
    CHECK(only_pool(site.load()).env == Environment{{"A", "1"}, {"B", "3"}, {"C", "x"}});
}

TEST_CASE("config: a second load with the same arguments reads the file anew")
{
    Site site;
    site.file(site.pool("www", "workers = 2\n"), {"-t", "7"});
    const Loaded first = site.load();
    write_file(site.conf(), site.pool("www", "workers = 3\n"));
    const Loaded second = config::load(first.invocation);
    CHECK(only_pool(first).workers == 2);
    CHECK(only_pool(second).workers == 3);
    CHECK(only_pool(second).timeout == Duration(7'000));
}

TEST_CASE("config: what does not change is taken down at start")
{
    const char* argv[] = {"tricorn", "-w", "3"};
    ::setenv("TRICORN_ARGS", "-t 9", 1);
    ::setenv("WEB_CONCURRENCY", "", 1);
    const Invocation taken = invocation(3, const_cast<char**>(argv));
    ::unsetenv("TRICORN_ARGS");
    ::unsetenv("WEB_CONCURRENCY");
    CHECK(taken.words == std::vector<std::string>{"-w", "3"});
    CHECK(taken.tricorn_args == "-t 9");
    CHECK(taken.web_concurrency == std::nullopt);
    CHECK(taken.directory == std::filesystem::current_path().string());
    CHECK(taken.root == is_root());
    CHECK(invocation(0, const_cast<char**>(argv)).words.empty());
}

TEST_CASE("config: help and version need no configuration")
{
    Site site;
    CHECK(site.load({"--help"}).action == Action::help);
    CHECK(site.load({"--version", "-c", "/none"}).action == Action::version);
}

TEST_CASE("config: without TARGET and file nothing can be served")
{
    Site site;
    if (exists(TRICORN_CONFIG_FILE))
        SKIP_TEST("the default configuration file is there");
    CHECK_THAT(site.mistakes(exit_usage), Contains("there is no " TRICORN_CONFIG_FILE));
}

TEST_CASE("config: the printed configuration loads to the same configuration")
{
    Site site;
    site.file("[global]\nlog_level = debug\npid = t.pid\n" +
                  site.pool("a",
                            "workers = 3\nenv.A = x \\; y \\# z\nenv.Q = \"  quoted \"\n"
                            "access_log_format = \"%(r)s\" %(s)s \"%(a)s\"\n"
                            "allowed_extensions = .cgi .pl\nrlimit_as = 1G\nrlimit_cpu = 90\n"
                            "bind = 127.0.0.1:0\ntimeout = 1500ms\numask = 077\n") +
                  site.pool("b", "script_stderr = both\nmax_body_size = 1025\n"),
              {"-e", "W=" + std::string(300, 'w') + " ;x", "--max-requests", "10"});
    const Loaded first = site.load();
    const std::string text = print(first);
    site.file(text);
    const Loaded second = site.load();
    // Values are the same, only their origins differ.
    const auto values = [](const std::string& printed) {
        std::string out;
        for (std::size_t begin = 0; begin < printed.size();) {
            const std::size_t end = printed.find('\n', begin);
            const std::string line = printed.substr(begin, end - begin);
            out += line.substr(0, line.rfind(" # ")) + "\n";
            begin = end + 1;
        }
        return out;
    };
    CHECK(values(print(second)) == values(text));
    CHECK(second.config.pools.at(0).env == first.config.pools.at(0).env);
    CHECK(second.config.pools.at(0).env.at("Q") == "  quoted ");
    CHECK(second.config.pools.at(0).access_log_format == "\"%(r)s\" %(s)s \"%(a)s\"");
    CHECK(second.config.pools.at(0).bind.size() == 2);
    CHECK(second.config.pools.at(0).rlimits.cpu == 90U);
}

TEST_CASE("config: the printed configuration says where each value came from")
{
    Site site;
    site.file(site.pool("www", "timeout = 5\n"), {"-w", "3"});
    site.invocation.tricorn_args = "--backlog 64";
    const std::string text = print(site.load());
    CHECK_THAT(text, Contains("[www]\n"));
    CHECK_THAT(text, Catch::Matchers::Matches("(.|\n)*timeout = 5s +# .*t.conf:4\n(.|\n)*"));
    CHECK_THAT(text, Catch::Matchers::Matches("(.|\n)*workers = 3 +# command line\n(.|\n)*"));
    CHECK_THAT(text, Catch::Matchers::Matches("(.|\n)*backlog = 64 +# TRICORN_ARGS\n(.|\n)*"));
    CHECK_THAT(text, Catch::Matchers::Matches("(.|\n)*kill_grace = 3s +# default\n(.|\n)*"));
}

TEST_CASE("config: every setting is printed")
{
    Site site;
    site.file(site.pool("www", "env.NAME = 1\n"));
    const std::string text = print(site.load());
    for (const Setting& setting : settings())
        if (setting.type != Type::include)
            CHECK_THAT(text, Contains("\n" + std::string(setting.key) + " ="));
}

TEST_CASE("config: the shipped file holds every setting at its default")
{
    const char* source = std::getenv("TRICORN_SRCDIR");
    const std::string text =
        read_file(std::string(source != nullptr ? source : ".") + "/conf/tricorn.conf");
    std::string active;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin);
        const std::string line = text.substr(begin, end - begin);
        if (!line.starts_with("include"))
            active += line.substr(line.starts_with(';') ? 1 : 0) + "\n";
        begin = end + 1;
    }
    for (const Setting& setting : settings())
        CHECK_THAT(text,
                   setting.type == Type::environment
                       ? Contains("# " + std::string(setting.key))
                       : Contains("\n" + std::string(setting.scope == Scope::pool ? ";" : "") +
                                  std::string(setting.key) + " ="));

    Site site;
    const std::vector<std::string> needed{"--set", "root=" + site.root(), "-b", "127.0.0.1:0"};
    site.file(active, needed);
    const Loaded written_out = site.load();
    site.file("[global]\n[NAME]\n", needed);
    const Loaded built_in = site.load();
    CHECK(print_values(written_out) == print_values(built_in));
}
