// examples/run, what `make run` starts: tricorn behind a real nginx with the example programs.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/process.h"
#include "tests/system/support/server.h"
#include "tests/system/support/temp_dir.h"
#include "tests/system/support/wait.h"

#include <csignal>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

constexpr Milliseconds start_up{30000};  // a repository, two servers and the first request

std::string port_of(const std::string& address)
{
    return address.substr(address.rfind(':') + 1);
}

Command plain(std::vector<std::string> arguments)
{
    Command command;
    command.arguments = std::move(arguments);
    return command;
}

bool has_what_it_needs()
{
    return has_program("nginx") && has_program("git") && has_program("curl") &&
           run(plain({"perl", "-MCGI", "-e", "1"})).status == ExitStatus{0, 0};
}

// `make check` may run where INT is ignored, which every program inherits; a terminal's is not.
Command example(const TempDir& directory, const std::string& port)
{
    Command run = plain({"env",
                         "--default-signal=INT",
                         source_file("examples/run"),
                         binary(),
                         build_file("examples/hello")});
    run.environment = {{"PORT", port}, {"TMPDIR", directory / "tmp"}};
    run.out = directory / "out";
    run.err = directory / "err";
    return run;
}

// The commands that examples/run prints as worth trying.
std::vector<std::string> printed_commands(const std::string& output)
{
    std::vector<std::string> commands;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("    "))
            commands.push_back(line.substr(4));
    return commands;
}

std::string shell(const std::string& line, const std::string& directory)
{
    Command command = plain({"sh", "-c", line});
    command.directory = directory;
    const Finished done = run(command);
    INFO(line << '\n' << done.err);
    CHECK(done.status == ExitStatus{0, 0});
    return done.out;
}

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("examples: what make run prints works and after Ctrl-C nothing is left", "[examples]")
{
    if (!has_what_it_needs())
        SKIP_TEST("nginx, git, curl or CGI.pm is missing");
    const TempDir directory;
    std::filesystem::create_directory(directory / "tmp");
    std::filesystem::create_directory(directory / "user");
    const std::string port = port_of(free_address());
    Process process(example(directory, port));
    const bool ready =
        wait_for([&] { return contains(read_file(directory / "out"), "git clone"); }, start_up);
    INFO(read_file(directory / "out") << read_file(directory / "err"));
    REQUIRE(ready);

    // In the order in which they are printed.
    const std::vector<std::string> commands = printed_commands(read_file(directory / "out"));
    const std::vector<std::string> expected = {"examples</h1>",
                                               "Hello from a C program.",
                                               "<dd>/some/path</dd>",
                                               "colour=green",
                                               "<td>LICENSE</td>",
                                               ""};
    REQUIRE(commands.size() == expected.size());
    for (std::size_t i = 0; i < commands.size(); ++i)
        CHECK(contains(
            shell("curl() { command curl -fsS \"$@\"; }; " + commands[i], directory / "user"),
            expected[i]));
    CHECK(contains(read_file(directory / "user/hello/README"), "git-http-backend"));

    process.signal(SIGINT);
    CHECK(process.wait(start_up) == ExitStatus{130, 0});
    CHECK(adopted().empty());
    CHECK(std::filesystem::is_empty(directory / "tmp"));
}

TEST_CASE("examples: a client's text does not become part of the page", "[examples]")
{
    const std::map<std::string, std::string> request = {{"REQUEST_METHOD", "GET"},
                                                        {"QUERY_STRING", "<script>alert(1)"},
                                                        {"PATH_INFO", "/<script>"}};
    for (const char* program : {"examples/cgi-bin/hello.sh", "examples/cgi-bin/form.pl"}) {
        if (std::string(program).ends_with(".pl") && !has_what_it_needs())
            continue;
        Command script = plain({source_file(program)});
        script.environment = request;
        const Finished page = run(script);
        INFO(program << '\n' << page.out << page.err);
        CHECK(page.status == ExitStatus{0, 0});
        CHECK(contains(page.out, "&lt;script"));
        CHECK_FALSE(contains(page.out, "<script"));
    }
}

TEST_CASE("examples: a port that is in use is named and nothing is started", "[examples]")
{
    if (!has_what_it_needs())
        SKIP_TEST("nginx, git, curl or CGI.pm is missing");
    const TempDir directory;
    std::filesystem::create_directory(directory / "tmp");
    const int listener = listen_on("127.0.0.1:0");
    const std::string port = port_of(name_of(listener));
    const Finished refused = run(example(directory, port));
    ::close(listener);
    CHECK(refused.status == ExitStatus{1, 0});
    CHECK(contains(refused.err, "port " + port + " is in use"));
    CHECK(refused.out.empty());
    CHECK(std::filesystem::is_empty(directory / "tmp"));
}
