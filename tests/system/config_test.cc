// config_test.cc - command line and configuration file as an administrator meets them.
// Source   php-fpm's config tests (unknown keys, ranges, include order); sysexits(3): 64 and 78.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/control.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <regex>
#include <string>

#include <sys/stat.h>

namespace {

// A directory with a root for programs and the text of a good configuration.
struct Files {
    TempDir directory;
    std::string root = directory / "root";
    std::string file = directory / "tricorn.conf";

    Files() { std::filesystem::create_directory(root); }

    std::string good(const std::string& more = "") const
    {
        return "[global]\n" + std::string(is_root() ? "allow_root = yes\n" : "") +
               "[www]\nroot = " + root + "\nbind = unix:" + directory / "s" + "\n" + more;
    }
    Finished check(const std::string& text) const
    {
        write_file(file, text);
        return tricorn({"-c", file, "--check-config"});
    }
    // The line of the file that holds the text, as messages name it.
    std::string line_of(const std::string& text, const std::string& part) const
    {
        const auto at = text.find(part);
        REQUIRE(at != std::string::npos);
        return file + ":" +
               std::to_string(
                   1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n')) +
               ": ";
    }
};

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

constexpr ExitStatus ok{0, 0};
constexpr ExitStatus usage{64, 0};
constexpr ExitStatus bad_configuration{78, 0};

}  // namespace

TEST_CASE("config: a good file passes the check and nothing is changed on disk", "[config]")
{
    const Files files;
    const Finished finished = files.check(files.good());
    CHECK(finished.status == ok);
    CHECK_FALSE(exists(files.directory / "s"));
}

TEST_CASE("config: every mistake of a file is reported at once with its line", "[config]")
{
    const Files files;
    const std::string text = files.good("wrokers = 2\n"
                                        "timeout = soon\n"
                                        "max_requests = -1\n"
                                        "listen_mode = 0999\n"
                                        "worker_class = threads-of-gold\n");
    const Finished finished = files.check(text);
    CHECK(finished.status == bad_configuration);
    for (const std::string key :
         {"wrokers", "timeout", "max_requests", "listen_mode", "worker_class"}) {
        CAPTURE(key);
        CHECK(contains(finished.err, files.line_of(text, key + " =") + key + ": "));
    }
    CHECK(contains(finished.err, "did you mean workers?"));
}

TEST_CASE("config: a server with a bad file starts nothing and ends with 78", "[config]")
{
    const Files files;
    write_file(files.file, files.good("wrokers = 2\n"));
    const Finished finished = tricorn({"-c", files.file});
    CHECK(finished.status == bad_configuration);
    CHECK(contains(finished.err, "wrokers"));
    CHECK_FALSE(exists(files.directory / "s"));
}

TEST_CASE("config: numbers and durations and sizes out of range are refused", "[config]")
{
    const Files files;
    for (const std::string line : {"workers = 0",
                                   "workers = 99999999999",
                                   "workers = 1e9",
                                   "workers = two",
                                   "workers = 3 4",
                                   "timeout = 5 parsecs",
                                   "timeout = -1s",
                                   "max_body_size = 10Q",
                                   "max_params_size = 1",
                                   "backlog = 0",
                                   "listen_mode = rw",
                                   "umask = 888",
                                   "no_new_privs = perhaps",
                                   "handler = magic",
                                   "script_stderr = nowhere",
                                   "access_log_format = %(nonsense)s"}) {
        CAPTURE(line);
        const std::string text = files.good(line + "\n");
        const Finished finished = files.check(text);
        CHECK(finished.status == bad_configuration);
        CHECK(contains(finished.err, files.line_of(text, line)));
    }
}

TEST_CASE("config: lines that are no settings are refused with their line", "[config]")
{
    const Files files;
    for (const std::string line : {"no equals sign", "[unclosed", "= value"}) {
        CAPTURE(line);
        const std::string text = files.good() + line + "\n";
        const Finished finished = files.check(text);
        CHECK(finished.status == bad_configuration);
        CHECK(contains(finished.err, files.line_of(text, line)));
    }
}

TEST_CASE("config: unknown users and groups are refused", "[config]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Files files;
    for (const std::string key : {"user", "group", "listen_owner", "listen_group"}) {
        const std::string text = files.good(key + " = no-such-name\n");
        const Finished finished = files.check(text);
        CHECK(finished.status == bad_configuration);
        CHECK(contains(finished.err, files.line_of(text, key + " =") + key + ": "));
        CHECK(contains(finished.err, "no-such-name"));
    }
}

TEST_CASE("config: two pools of one name or with one socket are refused", "[config]")
{
    const Files files;
    const Finished twice =
        files.check(files.good() + "[www]\nroot = " + files.root + "\nbind = 127.0.0.1:1\n");
    CHECK(twice.status == bad_configuration);
    CHECK(contains(twice.err, "www"));
    const Finished same = files.check(files.good() + "[other]\nroot = " + files.root +
                                      "\nbind = unix:" + files.directory / "s" + "\n");
    CHECK(same.status == bad_configuration);
    CHECK(contains(same.err, "bind"));
}

TEST_CASE("config: a pool without programs or without an address is refused", "[config]")
{
    const Files files;
    const std::string begin =
        std::string(is_root() ? "[global]\nallow_root = yes\n" : "") + "[www]\n";
    const std::map<std::string, std::string> faults{
        {"bind = 127.0.0.1:1\n", "has no programs"},
        {"root = " + files.root + "\n", "listens nowhere"},
        {"root = /no/such/place\nbind = 127.0.0.1:1\n", "/no/such/place"}};
    for (const auto& [lines, message] : faults) {
        const Finished finished = files.check(begin + lines);
        CHECK(finished.status == bad_configuration);
        CHECK(contains(finished.err, message));
    }
}

TEST_CASE("config: a socket path that is too long is refused and not cut", "[config]")
{
    const Files files;
    const Finished finished =
        files.check(files.good("bind = unix:/tmp/" + std::string(120, 'p') + "\n"));
    CHECK(finished.status == bad_configuration);
    CHECK(contains(finished.err, "bind"));
}

TEST_CASE("config: empty and missing files and directories are refused", "[config]")
{
    const Files files;
    CHECK(files.check("").status == bad_configuration);
    CHECK(tricorn({"-c", files.directory / "missing", "--check-config"}).status ==
          bad_configuration);
    CHECK(tricorn({"-c", files.root, "--check-config"}).status == bad_configuration);
}

TEST_CASE("config: a byte order mark and CRLF line ends do no harm", "[config]")
{
    const Files files;
    CHECK(files.check("\xef\xbb\xbf" + files.good("workers = 2\n")).status == ok);
    CHECK(files.check(std::regex_replace(files.good("workers = 2\n"), std::regex("\n"), "\r\n"))
              .status == ok);
}

TEST_CASE("config: includes are read in sorted order and loops are refused", "[config]")
{
    const Files files;
    const std::string pools = files.directory / "pools.d";
    std::filesystem::create_directory(pools);
    for (const std::string name : {"b", "a", "c"})
        write_file(pools + "/" + name + ".conf",
                   "[" + name + "]\nroot = " + files.root +
                       "\nbind = unix:" + files.directory / name + "\n");
    write_file(files.file,
               "[global]\n" + std::string(is_root() ? "allow_root = yes\n" : "") +
                   "include = " + pools + "/*.conf\n");
    const Finished finished = tricorn({"-c", files.file, "--print-config"});
    REQUIRE(finished.status == ok);
    const auto a = finished.out.find("[a]");
    const auto b = finished.out.find("[b]");
    const auto c = finished.out.find("[c]");
    CHECK((a < b && b < c && c != std::string::npos));
    write_file(pools + "/a.conf", "[global]\ninclude = " + files.file + "\n");
    CHECK(tricorn({"-c", files.file, "--check-config"}).status == bad_configuration);
}

TEST_CASE("config: a mistake in an included file names that file", "[config]")
{
    const Files files;
    const std::string other = files.directory / "other.conf";
    write_file(other, "[other]\nnonsense = 1\n");
    const Finished finished = files.check("[global]\ninclude = " + other + "\n");
    CHECK(finished.status == bad_configuration);
    CHECK(contains(finished.err, other + ":2: nonsense"));
}

TEST_CASE("config: what print-config writes is read back to the same", "[config]")
{
    const Files files;
    write_file(
        files.file,
        files.good("workers = 3\ntimeout = 1500ms\nmax_body_size = 10M\nlisten_mode = 0600\n"
                   "env.A_NAME = a value with spaces; and = signs\nallowed_extensions = .cgi .pl\n"
                   "access_log_format = %(h)s \"%(r)s\" 100%%\n"));
    const Finished first = tricorn({"-c", files.file, "--print-config"});
    REQUIRE(first.status == ok);
    const std::string again = files.directory / "again.conf";
    write_file(again, first.out);
    const Finished second = tricorn({"-c", again, "--print-config"});
    REQUIRE(second.status == ok);
    const auto settings = [](const std::string& text) {
        std::string kept;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);)
            if (!line.empty() && line[0] != '#' && line[0] != ';')
                kept += std::regex_replace(line, std::regex("\\s+[;#] .*$"), "") + "\n";
        return kept;
    };
    CHECK(settings(first.out) == settings(second.out));
    CHECK(contains(first.out, "a value with spaces; and = signs"));
}

TEST_CASE("config: unknown options and wrong arguments end with 64", "[config]")
{
    const Files files;
    const Finished unknown = tricorn({"--wrokers", "3", files.root});
    CHECK(unknown.status == usage);
    CHECK(contains(unknown.err, "--wrokers"));
    CHECK(tricorn({"/no/such/target"}).status == usage);
    CHECK(tricorn({"--workers"}).status == usage);
}

TEST_CASE("config: --help and --version succeed and write to stdout", "[config]")
{
    const Finished help = tricorn({"--help"});
    CHECK(help.status == ok);
    CHECK(help.err.empty());
    for (const auto* option : {"--config", "--bind", "--workers", "--check-config", "--set"})
        CHECK(contains(help.out, option));
    const Finished version = tricorn({"--version"});
    CHECK(version.status == ok);
    CHECK(contains(version.out, "tricorn "));
}

TEST_CASE("config: --build-info says what the program can do and where it looks", "[config]")
{
    const Finished info = tricorn({"--build-info"});
    CHECK(info.status == ok);
    CHECK(info.out.starts_with(tricorn({"--version"}).out));
    CHECK(contains(info.out, "\nhandlers: cgi module\n"));
    CHECK(contains(info.out, "\nsystemd: "));
    // The server says the same where it matters.
    const Finished help = tricorn({"--help"});
    const std::string file =
        std::regex_replace(info.out, std::regex("[^]*\nconfiguration file: ([^\n]*)\n[^]*"), "$1");
    CHECK(contains(help.out, file));
    CHECK(contains(info.out, "\ncontrol socket: /"));
}

TEST_CASE("config: the command line wins over environment and file", "[config]")
{
    const Files files;
    write_file(files.file, files.good("workers = 2\ntimeout = 10s\nbacklog = 100\n"));
    const Finished finished =
        tricorn({"-c", files.file, "--set", "www.workers=7", "--print-config"},
                {{"TRICORN_ARGS", "--timeout 20 --set workers=5"}});
    REQUIRE(finished.status == ok);
    CHECK(std::regex_search(finished.out, std::regex("\nworkers *= *7\\b")));
    CHECK(std::regex_search(finished.out, std::regex("\ntimeout *= *20s?\\b")));
    CHECK(std::regex_search(finished.out, std::regex("\nbacklog *= *100\\b")));
}

TEST_CASE("config: a directory as TARGET is served without a file", "[config]")
{
    const Server programs;
    Command command;
    command.arguments = {
        binary(), "-b", "unix:" + programs.directory() / "t", "-w", "1", "-e", "COLOUR=red"};
    if (is_root())
        command.arguments.insert(command.arguments.end(), {"-u", pool_user()});
    command.arguments.push_back(programs.root());
    command.err = programs.directory() / "tlog";
    Process process(command);
    const std::string address = "unix:" + programs.directory() / "t";
    REQUIRE(wait_for([&] { return exists(programs.directory() / "t"); }));
    const Reply reply = ask(address, programs.get("act", "plain&env"));
    CHECK(entry(reply.body(), "COLOUR") == "red");
    CHECK(ask(address, programs.get("hello.sh")).body() == "hello from sh\n");
    process.signal(SIGTERM);
    CHECK(process.wait() == ok);
}

TEST_CASE("config: a program as TARGET answers every path", "[config]")
{
    const Server programs;
    Command command;
    command.arguments = {binary(), "-b", "unix:" + programs.directory() / "t"};
    if (is_root())
        command.arguments.insert(command.arguments.end(), {"-u", pool_user()});
    command.arguments.push_back(programs.root() + "/act");
    Process process(command);
    REQUIRE(wait_for([&] { return exists(programs.directory() / "t"); }));
    Request request = programs.get("any/thing", "plain&env");
    request.unset("SCRIPT_FILENAME");
    const Reply reply = ask("unix:" + programs.directory() / "t", request);
    CHECK(entry(reply.body(), "PATH_INFO") == "/any/thing");
    CHECK(entry(reply.body(), "SCRIPT_NAME").empty());
    process.signal(SIGTERM);
    CHECK(process.wait() == ok);
}

TEST_CASE("config: the file may be a pipe that a command writes to", "[config]")
{
    const Files files;
    write_file(files.file, files.good());
    Command command;
    command.arguments = {"bash",
                         "-c",
                         "exec \"$0\" --check-config -c <(sleep 0.2; cat \"$1\")",
                         binary(),
                         files.file};
    const Finished finished = run(command);
    CHECK(finished.err.empty());
    CHECK(finished.status == ExitStatus{0, 0});
}

TEST_CASE("config: a pipe among the pools is a mistake and nothing waits for it", "[config]")
{
    Server server({.global = with_control + "include = pools/*.conf\n"});
    const std::string pools = server.directory() / "pools";
    REQUIRE(::mkdir(pools.c_str(), 0755) == 0);
    REQUIRE(::mkfifo((pools + "/pipe.conf").c_str(), 0644) == 0);
    const Finished reload = ctl(server, {"reload"});
    CHECK(reload.status == ExitStatus{1, 0});
    CHECK_THAT(reload.err,
               Catch::Matchers::Contains(pools + "/pipe.conf: cannot be read: it is no file"));
    CHECK(server.serves());
    CHECK(tricorn({"--check-config", "-c", server.configuration()}).status == ExitStatus{78, 0});
}
