// run_once_test.cc - tricorn --run: one request from a shell, without a web server.
// Source   php-cgi on a command line.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <filesystem>
#include <string>
#include <vector>

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Words = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

// A directory with programs that are run by hand.
struct Shell {
    TempDir directory;

    std::string program(const std::string& text) const
    {
        write_file(directory / "hello.sh", "#!/bin/sh\n" + text, 0755);
        return directory / "hello.sh";
    }
    std::string act() const
    {
        write_file(directory / "act", read_file(build_file("tests/data/cgi/act")), 0755);
        return directory / "act";
    }
    std::string pools(const std::string& text) const
    {
        const std::string user = is_root() ? std::string("user = ") + pool_user() + "\n" : "";
        write_file(directory / "conf", "[www]\nbind = 127.0.0.1:0\n" + user + text);
        return directory / "conf";
    }

    Finished run(Words words, Environment environment = {}, const std::string& body = "") const
    {
        words.insert(words.begin(), binary());
        Command command;
        command.arguments = std::move(words);
        command.environment = std::move(environment);
        command.directory = directory.path();
        if (!body.empty()) {
            write_file(directory / "body", body);
            command.in = directory / "body";
        }
        return ::run(std::move(command));
    }
    // A program without a configuration, which root does not run as root.
    Finished alone(const std::string& program,
                   Environment environment = {},
                   const std::string& body = "",
                   const Words& more = {}) const
    {
        Words words{"--run", program};
        if (is_root())
            words.insert(words.end(), {"--user", pool_user()});
        words.insert(words.end(), more.begin(), more.end());
        return run(words, std::move(environment), body);
    }
    Finished steps(const std::string& query,
                   const std::string& body = "",
                   const Words& more = {}) const
    {
        Environment environment{{"QUERY_STRING", query}};
        if (!body.empty())
            environment["REQUEST_METHOD"] = "POST";
        return alone(act(), environment, body, more);
    }
};

constexpr ExitStatus good{0, 0};
constexpr ExitStatus failed{1, 0};
constexpr ExitStatus usage{64, 0};

bool contains(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("run: a bare program is run and its reply is printed as the web server would get it",
          "[run]")
{
    const Shell shell;
    shell.program("echo 'Content-Type: text/plain'\necho\n"
                  "echo \"$REQUEST_METHOD $SCRIPT_NAME $PATH_INFO $REQUEST_URI\"\n");
    const Finished finished = shell.alone("hello.sh");
    CHECK(finished.out == "Content-Type: text/plain\r\n\r\nGET /hello.sh  /hello.sh\n");
    CHECK(finished.err == "");
    CHECK(finished.status == good);
}

TEST_CASE("run: the request is what the shell says and nothing else of it is passed", "[run]")
{
    const Shell shell;
    const Finished finished = shell.alone(shell.act(),
                                          {{"QUERY_STRING", "plain&env"},
                                           {"PATH_INFO", "/more"},
                                           {"HTTP_X_TEST", "yes"},
                                           {"HTTP_PROXY", "evil"},
                                           {"REMOTE_USER", "ann"},
                                           {"SECRET", "of the shell"}});
    REQUIRE(finished.status == good);
    const std::string body = parse_answer(finished.out).body;
    CHECK(entry(body, "HTTP_X_TEST") == "yes");
    CHECK(entry(body, "REMOTE_USER") == "ann");
    CHECK(entry(body, "SCRIPT_NAME") == "/act");
    CHECK(entry(body, "PATH_INFO") == "/more");
    CHECK(entry(body, "REQUEST_URI") == "/act/more?plain&env");
    CHECK(entry(body, "GATEWAY_INTERFACE") == "CGI/1.1");
    CHECK(entry(body, "HTTP_PROXY") == "(absent)");
    CHECK(entry(body, "SECRET") == "(absent)");
    CHECK(entry(body, "HOME") == "(absent)");
}

TEST_CASE("run: standard input is the body", "[run]")
{
    const Shell shell;
    CHECK(parse_answer(shell.steps("plain&count", "name=value").out).body == "10");
    const std::string large(1'000'000, 'b');
    const Finished finished = shell.steps("plain&echo", large);
    CHECK(finished.status == good);
    CHECK(parse_answer(finished.out).body == large);
    // A program that does not read it, and one that writes before it reads.
    CHECK(parse_answer(shell.steps("text=x", large).out).body == "x");
    CHECK(parse_answer(shell.steps("plain&fill=300000&drain", large).out).body.size() == 300'000);
    CHECK(parse_answer(shell
                           .alone(shell.act(),
                                  {{"QUERY_STRING", "plain&echo"}, {"CONTENT_LENGTH", "4"}},
                                  "name=value")
                           .out)
              .body == "name");
}

TEST_CASE("run: a GET leaves standard input alone", "[run]")
{
    const Shell shell;
    CHECK(parse_answer(shell.alone(shell.act(), {{"QUERY_STRING", "plain&count"}}, "body").out)
              .body == "0");
}

TEST_CASE("run: standard error of the program is standard error", "[run]")
{
    const Shell shell;
    const Finished finished = shell.alone(shell.program("echo oops >&2\necho 'A: b'\necho\n"));
    CHECK(finished.err == "oops\n");
    CHECK(finished.out == "A: b\r\n\r\n");
    CHECK(finished.status == good);
}

TEST_CASE("run: a mistake in the header is told with its line and fails", "[run]")
{
    const Shell shell;
    const Finished finished =
        shell.alone(shell.program("echo 'A: b'\necho 'C: d'\necho 'no colon here'\necho\n"));
    CHECK(contains(finished.err, "502: line 3 of the header has no colon: \"no colon here\"\n"));
    CHECK(finished.err.starts_with("tricorn: "));
    CHECK(finished.out.starts_with("Status: 502 Bad Gateway\r\n"));
    CHECK(finished.status == failed);
}

TEST_CASE("run: what is wrong with the program is told and fails", "[run]")
{
    const Shell shell;
    CHECK(contains(shell.alone(shell.program("true\n")).err, "the program wrote nothing"));
    CHECK(contains(shell.alone(shell.program("echo x\n")).err, "line 1 of the header has no"));
    CHECK(shell.alone(shell.program("true\n")).status == failed);
    write_file(shell.directory / "bad", "#!/no/such/interpreter\n", 0755);
    const Finished finished = shell.alone("bad");
    CHECK(contains(finished.err, "/no/such/interpreter"));
    CHECK(finished.status == failed);
}

TEST_CASE("run: the exit status is about the reply and not about the program", "[run]")
{
    const Shell shell;
    const Finished own = shell.alone(shell.program("echo 'Status: 503 Later'\necho\n"));
    CHECK(own.out == "Status: 503 Later\r\n\r\n");
    CHECK(own.status == good);
    const Finished unhappy = shell.steps("text=x&exit=7");
    CHECK(unhappy.status == good);
    CHECK(contains(unhappy.err, "exited with status 7"));
}

TEST_CASE("run: the time limits of the pool hold", "[run]")
{
    const Shell shell;
    const Finished finished = shell.steps("sleep=60000", "", {"--set", "request_timeout=200ms"});
    CHECK(contains(finished.err, "504: ran longer than request_timeout"));
    CHECK(finished.status == failed);
}

TEST_CASE("run: a reply that is cut short fails", "[run]")
{
    const Shell shell;
    const Finished finished = shell.steps("text=begin&sleep=100&kill=9");
    CHECK(contains(finished.out, "begin"));
    CHECK(contains(finished.err, "transfer aborted"));
    CHECK(finished.status == failed);
}

TEST_CASE("run: nobody who reads the reply ends the program", "[run]")
{
    const Shell shell;
    const std::string user = is_root() ? std::string(" --user ") + pool_user() : "";
    Command command;
    command.arguments = {"sh",
                         "-c",
                         "QUERY_STRING='plain&fill=2000000000&sleep=600000' '" + binary() +
                             "' --run '" + shell.act() + "'" + user + " | head -c 30 >/dev/null"};
    const Finished finished = ::run(command);
    CHECK(finished.status == good);  // of head(1)
    CHECK(wait_for([] { return adopted().empty(); }));
}

TEST_CASE("run: a program of a pool has the pool's settings and name", "[run]")
{
    const Shell shell;
    const std::string act = shell.act();
    const std::string conf =
        shell.pools("root = " + shell.directory.path() +
                    "\nmount = /cgi-bin/\nenv.FROM_POOL = here\numask = 077\n");
    const Finished finished =
        shell.run({"-c", conf, "--run", "act"}, {{"QUERY_STRING", "plain&env&process&ids"}});
    REQUIRE(finished.status == good);
    const std::string body = parse_answer(finished.out).body;
    CHECK(entry(body, "SCRIPT_NAME") == "/cgi-bin/act");
    CHECK(entry(body, "SCRIPT_FILENAME") == act);
    CHECK(entry(body, "FROM_POOL") == "here");
    CHECK(entry(body, "umask") == "63");
    CHECK(entry(body, "cwd") == shell.directory.path());
    CHECK(entry(body, "NoNewPrivs") == "1");
    if (is_root())
        CHECK(entry(body, "Uid").starts_with(std::to_string(::getpwnam(pool_user())->pw_uid)));
}

TEST_CASE("run: without a mount the web server's name of the program can be given", "[run]")
{
    const Shell shell;
    shell.act();
    const std::string conf = shell.pools("root = " + shell.directory.path() + "\n");
    const auto name = [&](Environment environment) {
        environment["QUERY_STRING"] = "plain&env";
        const Finished finished = shell.run({"-c", conf, "--run", "act"}, environment);
        return entry(parse_answer(finished.out).body, "SCRIPT_NAME");
    };
    CHECK(name({}) == "/act");
    CHECK(name({{"SCRIPT_NAME", "/other/name"}}) == "/other/name");
}

TEST_CASE("run: the rules of the pool decide about the program", "[run]")
{
    const Shell shell;
    shell.act();
    const std::string conf =
        shell.pools("root = " + shell.directory.path() + "\nallowed_extensions = .cgi\n");
    const Finished finished = shell.run({"-c", conf, "--run", "act"});
    CHECK(contains(finished.err, "403: \"" + shell.directory / "act" + "\": not in allowed_paths"));
    CHECK(finished.status == failed);
    const Finished missing = shell.run({"-c", conf, "--run", "missing.cgi"});
    CHECK(contains(missing.err, "404: "));
    CHECK(missing.status == failed);
}

TEST_CASE("run: a pool with one script runs that script", "[run]")
{
    const Shell shell;
    const std::string act = shell.act();
    const std::string conf = shell.pools("script = " + act + "\nmount = /git\n");
    const Finished finished = shell.run({"-c", conf, "--run", "act"},
                                        {{"QUERY_STRING", "plain&env"}, {"PATH_INFO", "/x.git"}});
    const std::string body = parse_answer(finished.out).body;
    CHECK(entry(body, "SCRIPT_NAME") == "/git");
    CHECK(entry(body, "PATH_INFO") == "/x.git");
    const Finished other = shell.run({"-c", conf, "--run", shell.program("true\n")});
    CHECK(contains(other.err, "pool www runs " + act + " for every request"));
    CHECK(other.status == usage);
}

TEST_CASE("run: of several pools one has to be named", "[run]")
{
    const Shell shell;
    const std::string act = shell.act();
    const std::string user = is_root() ? std::string("user = ") + pool_user() + "\n" : "";
    const std::string conf = shell.pools("root = /usr\n[two]\nbind = 127.0.0.1:1\n" + user +
                                         "root = " + shell.directory.path() + "\n");
    const Finished unnamed = shell.run({"-c", conf, "--run", "act"});
    CHECK(unnamed.err ==
          "tricorn: --run: there are several pools: add --pool with one of www, two\n");
    CHECK(unnamed.status == usage);
    const Finished unknown = shell.run({"-c", conf, "--pool", "three", "--run", "act"});
    CHECK(unknown.err == "tricorn: --run: there is no pool three: www, two\n");
    CHECK(unknown.status == usage);
    const Finished outside = shell.run({"-c", conf, "--pool", "www", "--run", "act"});
    CHECK(outside.err == "tricorn: --run: " + act + " is not beneath /usr, the root of pool www\n");
    CHECK(outside.status == usage);
    CHECK(shell.run({"-c", conf, "--pool=two", "--run=act"}, {{"QUERY_STRING", "text=x"}}).status ==
          good);
}

TEST_CASE("run: wrong usage and a wrong configuration have their exit status", "[run]")
{
    const Shell shell;
    const std::string program = shell.program("true\n");
    const auto fails = [&](const Words& words, const ExitStatus& status, std::string_view text) {
        const Finished finished = shell.run(words);
        CAPTURE(finished.err);
        return finished.status == status && contains(finished.err, text) && finished.out.empty();
    };
    CHECK(fails({"--run", "none"}, usage, "/none: No such file or directory"));
    CHECK(fails({"--run", "."}, usage, ": is no file"));
    CHECK(fails({"--run"}, usage, "--run"));
    CHECK(fails({"--pool", "www"}, usage, "--pool www: is for --run"));
    ::chmod(program.c_str(), 0644);
    CHECK(fails({"--run", "hello.sh"}, usage, "is not executable: chmod +x it"));
    CHECK(fails({"-c", shell.pools("root = /usr\nnothing = 1\n"), "--run", "hello.sh"},
                {78, 0},
                "nothing: is not a key"));
    const std::string module = "handler = module\nmodule = " + build_file("tests/modules/actor.so");
    CHECK(fails({"-c", shell.pools(module + "\n"), "--run", "hello.sh"},
                usage,
                "pool www runs no CGI programs"));
}

TEST_CASE("run: root does not run a program as root unless that is asked for", "[run]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Shell shell;
    const std::string act = shell.act();
    const Finished refused = shell.run({"--run", act});
    CHECK(contains(refused.err, "would run as root: set user (--user)"));
    CHECK(refused.status == ExitStatus{78, 0});
    const Finished root =
        shell.run({"--run", act, "--allow-root"}, {{"QUERY_STRING", "plain&ids"}});
    CHECK(entry(parse_answer(root.out).body, "Uid") == "0\t0\t0\t0");
}

TEST_CASE("run: a pool with a chroot takes the program by its name inside and outside", "[run]")
{
    if (is_sanitized())
        SKIP_TEST("the leak checker needs /proc, which is not in the chroot");
    if (!is_root())
        SKIP_TEST("needs root");
    const Shell shell;
    const TempDir jail;
    std::filesystem::create_directories(jail / "cgi");
    // Nothing that it needs is inside, which is enough to see where it is looked for.
    write_file(jail / "cgi/x.sh", "#!/bin/sh\n", 0755);
    const std::string conf = shell.pools("chroot = " + jail.path() + "\nroot = /cgi\nmount = /\n");
    for (const std::string& name : {std::string("/cgi/x.sh"), jail / "cgi/x.sh"}) {
        const Finished finished = shell.run({"-c", conf, "--run", name});
        CAPTURE(finished.err);
        CHECK(contains(finished.err, "/cgi/x.sh cannot be run: its interpreter is not there"));
        CHECK(finished.status == failed);
    }
}

TEST_CASE("run: a worker that could not boot ends with its exit status", "[run]")
{
    if (!is_root())
        SKIP_TEST("needs root");
    const Shell shell;
    const std::string act = shell.act();
    ::chmod(shell.directory.path().c_str(), 0700);
    const std::string conf = shell.pools("root = " + shell.directory.path() + "\n");
    CHECK(shell.run({"-c", conf, "--run", act}).status == ExitStatus{4, 0});
}
