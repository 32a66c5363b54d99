// cgi_fcgi_test.cc - the cgi-fcgi client of libfcgi, an independent implementation of the protocol.
// Source   cgi-fcgi(1), package libfcgi-bin.
#include "tests/catch.h"
#include "tests/system/support/address.h"
#include "tests/system/support/nginx.h"
#include "tests/system/support/server.h"

#include <string>

namespace {

Finished cgi_fcgi(const Server& server,
                  const std::string& address,
                  const std::string& steps,
                  const std::string& input = "")
{
    const TempDir directory;
    write_file(directory / "input", input);
    Command command;
    command.arguments = {"cgi-fcgi", "-bind", "-connect", address};
    command.in = directory / "input";
    command.environment = {{"REQUEST_METHOD", input.empty() ? "GET" : "POST"},
                           {"SCRIPT_FILENAME", server.root() + "/act"},
                           {"SCRIPT_NAME", "/act"},
                           {"QUERY_STRING", steps},
                           {"CONTENT_LENGTH", std::to_string(input.size())}};
    return run(std::move(command));
}

}  // namespace

TEST_CASE("cgi-fcgi: a GET and a POST are served", "[peer]")
{
    if (!has_program("cgi-fcgi"))
        SKIP_TEST("cgi-fcgi is not installed");
    const Server server;
    const Finished get = cgi_fcgi(server, server.socket(), "text=hello");
    CHECK(get.status == ExitStatus{0, 0});
    CHECK(parse_answer(get.out).body == "hello");
    const std::string body(100000, 'b');
    const Finished post = cgi_fcgi(server, server.socket(), "plain&echo", body);
    CHECK((parse_answer(post.out).body == body));
}

TEST_CASE("cgi-fcgi: the exit status of the program comes through", "[peer]")
{
    if (!has_program("cgi-fcgi"))
        SKIP_TEST("cgi-fcgi is not installed");
    const Server server;
    CHECK(cgi_fcgi(server, server.socket(), "text=x&exit=9").status == ExitStatus{9, 0});
}

TEST_CASE("cgi-fcgi: stderr for the web server comes out as stderr", "[peer]")
{
    if (!has_program("cgi-fcgi"))
        SKIP_TEST("cgi-fcgi is not installed");
    const Server server({.pool = "script_stderr = web\n"});
    const Finished finished = cgi_fcgi(server, server.socket(), "err=complaint%0a&text=x");
    CHECK(finished.err.find("complaint") != std::string::npos);
    CHECK(parse_answer(finished.out).body == "x");
}

TEST_CASE("cgi-fcgi: TCP is served as well", "[peer]")
{
    if (!has_program("cgi-fcgi"))
        SKIP_TEST("cgi-fcgi is not installed");
    const std::string tcp = free_address();
    const Server server({.pool = "bind = " + tcp + "\n", .wait = false});
    CHECK(wait_for([&] {
        const Finished finished = cgi_fcgi(server, tcp, "text=tcp");
        return !finished.out.empty() && parse_answer(finished.out).body == "tcp";
    }));
}
