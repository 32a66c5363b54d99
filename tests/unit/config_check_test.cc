#include "config/check.h"
#include "tests/catch.h"
#include "tests/unit/config_site.h"

#include <sys/resource.h>
#include <sys/stat.h>

using namespace config;
using Catch::Matchers::Contains;

TEST_CASE("config: all mistakes are told together with their lines")
{
    Site site;
    CHECK(site.mistakes_of("[global]\nlog_level = loud\nlog_levle = info\nuser = x\n"
                           "[www]\nroot = " +
                           site.root() +
                           "\nbind = unix:s\n"
                           "workers = 0\nwrokers = 3\njunk\nworkers = 2\npid = x\n") ==
          "2: log_level: \"loud\" is not known: debug, info, warning, error or critical\n"
          "3: log_levle: is not a key: did you mean log_level?\n"
          "4: user: belongs in the section of a pool\n"
          "8: workers: \"0\" is out of range: from 1 to 4096, or auto\n"
          "9: wrokers: is not a key: did you mean workers?\n"
          "10: \"junk\" is not understood: write [NAME], key = value or # comment\n"
          "11: workers: is already set at 8: keep one of the two\n"
          "12: pid: belongs in the section [global]");
}

TEST_CASE("config: a wrong value on the command line is wrong usage")
{
    Site site;
    site.file(site.pool("www"), {"-w", "x", "--set", "timeout=1e9"});
    CHECK(site.mistakes(exit_usage) ==
          "command line: --workers: \"x\" is not a whole number: digits only, or auto\n"
          "command line: --set timeout: \"1e9\" is not a duration: a number of seconds or with ms, "
          "s, m, h, such as 30s");
    site.file(site.pool("www", "junk\n"), {"-w", "x"});
    CHECK_THAT(site.mistakes(exit_config), Contains("4: \"junk\"") && Contains("--workers"));
}

TEST_CASE("config: a quote left open in TRICORN_ARGS is wrong usage")
{
    Site site;
    site.invocation.tricorn_args = "-w '3";
    CHECK_THAT(site.mistakes(exit_usage), Contains("TRICORN_ARGS: a quote ' is not closed"));
}

TEST_CASE("config: a file without pools is a mistake")
{
    Site site;
    CHECK(site.mistakes_of("") == " no pool is defined: add a section [NAME] with root and bind");
    CHECK_THAT(site.mistakes_of("[global]\n"), Contains("no pool is defined"));
    site.invocation.words = {"-c", "none.conf"};
    CHECK(site.mistakes() ==
          site.directory / "none.conf: cannot be read: No such file or directory");
}

TEST_CASE("config: a pool defined twice is a mistake and its keys are not reported again")
{
    Site site;
    CHECK(site.mistakes_of(site.pool("www") + site.pool("www")) ==
          "4: [www]: the pool is already defined at 1: give it another name, or put its settings "
          "there");
    std::filesystem::create_directory(site.directory / "d");
    write_file(site.directory / "d/a.conf", site.pool("www"));
    CHECK_THAT(site.mistakes_of("[global]\ninclude = d/*\n" + site.pool("www")),
               Contains("d/a.conf:1: [www]: the pool is already defined at 3"));
}

TEST_CASE("config: names of pools are letters digits points dashes and underscores")
{
    Site site;
    for (const char* name : {"a b", "a/b", "pool:www", "\xc3\xa4", "$x", "*"})
        CHECK(site.mistakes_of(site.pool(name)) ==
              "1: [" + std::string(name) +
                  "]: is not a pool's name: letters, digits, _, . and - only");
    CHECK_THAT(site.mistakes_of(site.pool("Global")), Contains("1: [Global]: write it [global]"));
    CHECK_THAT(site.mistakes_of("[" + std::string(65, 'x') + "]\n"),
               Contains("is too long a name: at most 64 characters"));
    CHECK(site.mistakes_of(site.pool("A-z_0.9")) == "nothing is wrong");
}

TEST_CASE("config: a pool needs programs and an address")
{
    Site site;
    CHECK(site.mistakes_of("[www]\n") ==
          "1: [www]: has no programs: set root to their directory, or script to one program\n"
          "1: [www]: listens nowhere: set bind, such as unix:/run/tricorn/www.sock");
    CHECK(site.mistakes_of("[www]\nhandler = module\nbind = 127.0.0.1:0\n") ==
          "1: [www]: has no module: set module to a shared object");
}

TEST_CASE("config: root script and module exclude one another")
{
    Site site;
    const std::string root = "root = " + site.root() + "\n";
    const std::string script = "script = " + site.root() + "/hello.cgi\n";
    const std::string module = "module = " + site.directory / "handler.so\n";
    const std::string begin = "[www]\nbind = 127.0.0.1:0\n";
    CHECK(site.mistakes_of(begin + script) == "nothing is wrong");
    CHECK(site.mistakes_of(begin + module + "handler = module\n") == "nothing is wrong");
    CHECK(site.mistakes_of(begin + root + script) ==
          "4: script: root is set too: keep one of the two");
    CHECK(site.mistakes_of(begin + module) == "3: module: needs handler = module");
    CHECK(site.mistakes_of(begin + module + root + "handler = module\n") ==
          "4: root: is for handler = cgi: remove it");
    CHECK(site.mistakes_of(begin + script + module + "handler = module\n") ==
          "3: script: is for handler = cgi: remove it");
    CHECK(site.mistakes_of(begin + module + "owner_check = yes\nhandler = module\n") ==
          "4: owner_check: is for handler = cgi: remove it");
}

TEST_CASE("config: what a pool serves has to exist and be of the right kind")
{
    Site site;
    const std::string begin = "[www]\nbind = 127.0.0.1:0\n";
    CHECK_THAT(site.mistakes_of(begin + "root = nothing\n"),
               Contains("3: root: " + site.directory / "nothing: No such file or directory"));
    CHECK_THAT(site.mistakes_of(begin + "root = cgi/hello.cgi\n"), Contains("is not a directory"));
    CHECK_THAT(site.mistakes_of(begin + "script = cgi\n"), Contains("is not a regular file"));
    CHECK_THAT(site.mistakes_of(begin + "script = cgi/page.html\n"), Contains("is not executable"));
    CHECK_THAT(site.mistakes_of(begin + "handler = module\nmodule = none.so\n"),
               Contains("4: module: " + site.directory / "none.so: No such file"));
    ::chmod(site.root().c_str(), 0777);
    CHECK_THAT(site.mistakes_of(begin + "root = cgi\n"), Contains("can be written by everybody"));
    ::chmod(site.root().c_str(), 01777);
    CHECK(site.mistakes_of(begin + "root = cgi\n") == "nothing is wrong");
}

TEST_CASE("config: addresses that cannot be bound are mistakes")
{
    Site site;
    const std::string begin = "[www]\nroot = cgi\n";
    CHECK_THAT(site.mistakes_of(begin + "bind = unix:/" + std::string(107, 'x') + "\n"),
               Contains("3: bind: ") && Contains("107"));
    CHECK(site.mistakes_of(begin + "bind = unix:/" + std::string(106, 'x') + "\n") ==
          "nothing is wrong");
    for (const char* address : {"unix:",
                                "9000",
                                "127.0.0.1",
                                "127.0.0.1:70000",
                                "127.0.0.1:x",
                                "[::1",
                                "[::1]",
                                "fd://x",
                                "tcp://127.0.0.1:1"}) {
        INFO(address);
        CHECK_THAT(site.mistakes_of(begin + "bind = " + address + "\n"), Contains("3: bind: "));
    }
}

TEST_CASE("config: an address belongs to one pool")
{
    Site site;
    const std::string a = "[a]\nroot = cgi\nbind = 127.0.0.1:9000\n";
    CHECK(site.mistakes_of(a + "[b]\nroot = cgi\nbind = 127.0.0.1:9000\n") ==
          "6: bind: 127.0.0.1:9000 is already bound by pool a, 3: each address goes to one pool");
    CHECK(site.mistakes_of(a + "bind = 127.0.0.1:9000\n") ==
          "4: bind: 127.0.0.1:9000 is already bound by pool a, 3: each address goes to one pool");
    CHECK(site.mistakes_of(a + "[b]\nroot = cgi\nbind = 127.0.0.1:9001\n") == "nothing is wrong");
}

TEST_CASE("config: the control socket is a path that no pool binds")
{
    Site site;
    const std::string pool = "[a]\nroot = cgi\nbind = unix:a.sock\n";
    CHECK(site.mistakes_of("[global]\ncontrol =\n" + pool) == "nothing is wrong");
    CHECK(site.mistakes_of("[global]\ncontrol = auto\n" + pool) == "nothing is wrong");
    CHECK_THAT(site.mistakes_of("[global]\ncontrol = /" + std::string(107, 'x') + "\n" + pool),
               Contains("2: control: ") && Contains("107"));
    CHECK_THAT(site.mistakes_of("[global]\ncontrol = a.sock\n" + pool),
               Contains("5: bind: ") && Contains("already bound by the control socket, 2: "));
}

TEST_CASE("config: the control socket is found from the directory of its file")
{
    Site site;
    const std::string pool = site.pool("www");
    site.file("[global]\ncontrol = run/c\n" + pool);
    CHECK(site.load().config.global.control == site.directory / "run/c");
    site.file("[global]\ncontrol = auto\n" + pool);
    CHECK(site.load().config.global.control == "auto");
    site.file(pool);
    CHECK(site.load().config.global.control == "auto");
    site.file("[global]\ncontrol =\n" + pool);
    CHECK(site.load().config.global.control.empty());
}

TEST_CASE("config: how programs are looked up is checked")
{
    Site site;
    CHECK(site.mistakes_of(site.pool("www",
                                     "mount = /cgi-bin\nallowed_extensions = .cgi .pl\n"
                                     "allowed_paths = /srv/* /opt/x\n")) == "nothing is wrong");
    CHECK(site.mistakes_of(site.pool("www", "mount = /\n")) == "nothing is wrong");
    CHECK(site.mistakes_of(site.pool("www", "mount = cgi-bin\n")) ==
          "4: mount: \"cgi-bin\" lacks its first /, such as /cgi-bin");
    for (const char* extension : {"cgi", ".", "*.cgi", "./x"})
        CHECK_THAT(site.mistakes_of(
                       site.pool("www", "allowed_extensions = " + std::string(extension) + "\n")),
                   Contains("4: allowed_extensions: "));
    // A star does not match a slash, so this would match no whole path.
    for (const char* pattern : {"cgi/x", "*.cgi"})
        CHECK_THAT(
            site.mistakes_of(site.pool("www", "allowed_paths = " + std::string(pattern) + "\n")),
            Contains("4: allowed_paths: "));
}

TEST_CASE("config: a wrong format of the access log is a mistake")
{
    Site site;
    CHECK_THAT(site.mistakes_of(site.pool("www", "access_log_format = %(nosuch)s\n")),
               Contains("4: access_log_format: ") && Contains("nosuch"));
    CHECK(site.mistakes_of(site.pool("www", "access_log_format = %(h)s %(script)s\n")) ==
          "nothing is wrong");
}

TEST_CASE("config: unknown users and groups are named")
{
    Site site;
    site.invocation.root = true;
    CHECK(site.mistakes_of(
              site.pool("www",
                        "user = no_such_user\ngroup = no_such_group\n"
                        "listen_owner = no_such_owner\nlisten_group = no_such_gang\n")) ==
          "4: user: there is no user \"no_such_user\"\n"
          "5: group: there is no group \"no_such_group\"\n"
          "6: listen_owner: there is no user \"no_such_owner\"\n"
          "7: listen_group: there is no group \"no_such_gang\"");
}

TEST_CASE("config: a number that no identifier can have is an unknown user")
{
    Site site;
    site.invocation.root = true;
    CHECK_THAT(site.mistakes_of(site.pool("www", "user = 99999999999999999999999\n")),
               Contains("4: user: there is no user"));
    CHECK_THAT(
        site.mistakes_of(site.pool("www", "user = www-data\ngroup = 99999999999999999999\n")),
        Contains("5: group: there is no group"));
}

TEST_CASE("config: a server started as root runs no pool as root unless that is allowed")
{
    Site site;
    site.invocation.root = true;
    CHECK(site.mistakes_of(site.pool("www", "user = root\n")) ==
          "4: user: root is root: name another user, or allow root by allow_root = yes "
          "(--allow-root)");
    CHECK_THAT(site.mistakes_of(site.pool("www", "user = 0\n")), Contains("--allow-root"));
    CHECK(site.mistakes_of(site.pool("www", "user = www-data\ngroup = root\n")) ==
          "5: group: would be root's: name another group, or allow root by allow_root = yes "
          "(--allow-root)");
    CHECK(site.mistakes_of(site.pool("www", "user = www-data\n")) == "nothing is wrong");
    CHECK(site.mistakes_of("[global]\nallow_root = yes\n" + site.pool("www", "user = root\n")) ==
          "nothing is wrong");
}

TEST_CASE("config: a pool without a user is root's when root starts the server")
{
    if (!is_root())
        SKIP_TEST("needs root");
    Site site;
    site.invocation.root = true;
    CHECK(site.mistakes_of(site.pool("www")) ==
          "1: [www]: would run as root: set user (--user), or allow root by allow_root = yes "
          "(--allow-root)");
    site.file(site.pool("www"), {"--allow-root"});
    CHECK(site.load().config.global.allow_root);
    site.file(site.pool("www"), {"--user", "www-data"});
    CHECK(only_pool(site.load()).user == "www-data");
}

TEST_CASE("config: others than root cannot change the user and are told so")
{
    Site site;
    site.invocation.root = false;
    site.file(site.pool("www", "user = root\ngroup = no_such_group\n"));
    const Loaded loaded = site.load();
    REQUIRE(loaded.warnings.size() == 2);
    CHECK(loaded.warnings[0] == site.conf() + ":4: user: ignored, only root can change it");
    CHECK(loaded.warnings[1] == site.conf() + ":5: group: ignored, only root can change it");
}

TEST_CASE("config: places that are not there or taken are warned about")
{
    Site site;
    CHECK(site.mistakes_of("[global]\nerror_log = none/log\npid = none/pid\ncontrol = none/c\n" +
                           site.pool("www",
                                     "bind = unix:t.conf\nbind = unix:none/s\n"
                                     "access_log = cgi\n")) == "nothing is wrong");
    const auto warnings = site.load().warnings;
    const std::string none = "there is no directory " + (site.directory / "none/") + " yet";
    const auto warned = [&](const std::string& text) {
        return std::ranges::count(warnings, site.conf() + ":" + text) == 1;
    };
    CHECK(warned("2: error_log: " + none));
    CHECK(warned("3: pid: " + none));
    CHECK(warned("4: control: " + none));
    CHECK(warned("8: bind: " + site.conf() + " is in the way and is no socket"));
    CHECK(warned("9: bind: " + none));
    CHECK(warned("10: access_log: " + (site.directory / "cgi") + " is a directory"));
    CHECK(warnings.size() == 6);
    site.file("[global]\npid = /dev/null\n" + site.pool("www", ""));
    CHECK(site.load().warnings ==
          std::vector<std::string>{site.conf() +
                                   ":2: pid: /dev/null is in the way and is no pid file"});
}

TEST_CASE("config: a daemon with its access log on standard output is warned about")
{
    Site site;
    const std::string daemon = "[global]\ndaemon = yes\n";
    site.file(daemon + site.pool("www", "access_log = -\n"));
    REQUIRE(site.load().warnings.size() == 1);
    CHECK_THAT(site.load().warnings[0],
               Contains(":6: access_log: a daemon has no standard output"));
    site.file(daemon + site.pool("www", "access_log = syslog\n"));
    CHECK(site.load().warnings.empty());
    site.file(site.pool("www", "access_log = -\n"));
    CHECK(site.load().warnings.empty());
}

TEST_CASE("config: a list of peers for sockets that the pool does not have is warned about")
{
    Site site;
    const auto warnings_of = [&](const std::string& bind, const std::string& list) {
        site.file("[www]\nroot = " + site.root() + "\nbind = " + bind + "\n" + list + "\n");
        return site.load().warnings;
    };
    const std::string clients = "allowed_clients = 127.0.0.1";
    const std::string users = "allowed_users = root";
    REQUIRE(warnings_of("unix:/run/x", clients).size() == 1);
    CHECK(warnings_of("unix:/run/x", clients)[0] ==
          site.conf() +
              ":4: allowed_clients: bind names no TCP address: it has an effect only on TCP "
              "sockets from systemd");
    REQUIRE(warnings_of("127.0.0.1:0", users).size() == 1);
    CHECK(warnings_of("127.0.0.1:0", users)[0] ==
          site.conf() +
              ":4: allowed_users: bind names no Unix socket: it has an effect only on Unix "
              "sockets from systemd");
    CHECK(warnings_of("unix:/run/x", users).empty());
    CHECK(warnings_of("[::1]:0", clients).empty());
    CHECK(warnings_of("unix:/run/x 127.0.0.1:0", clients).empty());
    CHECK(warnings_of("fd://3", clients).empty());
    CHECK(warnings_of("fd://3", users).empty());
}

TEST_CASE("config: syslog as a file is answered with the key that means it")
{
    Site site;
    CHECK(site.mistakes_of("[global]\nerror_log = syslog\n" + site.pool("www")) ==
          "2: error_log: syslog is no file: write log_syslog = yes");
    CHECK(site.mistakes_of(site.pool("www", "access_log = syslog\n")) == "nothing is wrong");
    CHECK(site.mistakes_of("[global]\nerror_log =\n" + site.pool("www", "")) ==
          "2: error_log: a file is missing: write - for standard error");
}

TEST_CASE("config: a limit above the hard limit of the server is a mistake")
{
    Site site;
    rlimit core{};
    REQUIRE(::getrlimit(RLIMIT_CORE, &core) == 0);
    const rlimit lower{0, 1024};
    if (core.rlim_max < lower.rlim_max)
        SKIP_TEST("the hard limit of core dumps is low already");
    // A hard limit that is lowered stays so, in this process only: each test has its own.
    REQUIRE(::setrlimit(RLIMIT_CORE, &lower) == 0);
    CHECK(site.mistakes_of(site.pool("www", "rlimit_core = 1k\n")) == "nothing is wrong");
    for (const char* value : {"1025", "unlimited"})
        CHECK(site.mistakes_of(site.pool("www", "rlimit_core = " + std::string(value) + "\n")) ==
              "4: rlimit_core: is above the hard limit that the server was started with: at most "
              "1024");
}

TEST_CASE("config: max_processes covers what the pools start with", "[config]")
{
    Site site;
    const auto with = [&](const std::string& most, const std::string& pool) {
        return site.mistakes_of("[global]\nmax_processes = " + most + "\n" +
                                site.pool("www", pool));
    };
    CHECK(with("3", "workers = 3\n") == "nothing is wrong");
    CHECK(with("2", "workers = 3\n") ==
          "2: max_processes: 2 is less than the 3 workers that the pools start with");
    // Half-way between min_spare 1 and max_spare 3.
    CHECK(with("1", "scaling = dynamic\nworkers = 8\n") ==
          "2: max_processes: 1 is less than the 2 workers that the pools start with");
    CHECK(with("1", "scaling = dynamic\nworkers = 1\n") == "nothing is wrong");
    CHECK(with("2", "workers = 8\nscaling = ondemand\n") == "nothing is wrong");
    CHECK(with("1", "workers = 8\nscaling = dynamic\nmin_spare = 2\n") != "nothing is wrong");
}
