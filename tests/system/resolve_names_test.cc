// resolve_names_test.cc - odd names and files of programs: they are names, and nothing else.
// Source   execve(2): ENOEXEC, ETXTBSY, ENAMETOOLONG; CVE-2026-24895; Python's test_httpservers.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace {

Request by_document_root(const Server& server, const std::string& name)
{
    Request request = server.get("act");
    request.unset("SCRIPT_FILENAME");
    request.set("SCRIPT_NAME", name);
    return request;
}

const char* const marked = "#!/bin/sh\nprintf 'A: b\\n\\nMARKED'\n";

}  // namespace

TEST_CASE("names: compiled programs and Perl and Python and sh all run", "[resolve]")
{
    const Server server;
    CHECK(server.act("text=compiled").body() == "compiled");
    CHECK(server.ask(server.get("hello.sh")).body() == "hello from sh\n");
    CHECK(server.ask(server.get("hello.pl")).body() == "hello from perl\n");
    CHECK(server.ask(server.get("hello.py")).body() == "hello from python\n");
}

TEST_CASE("names: a text without an interpreter line is 502 and no shell runs it", "[resolve]")
{
    const Server server;
    server.add_program("noexec", "printf 'A: b\\n\\nran'\n");
    const Reply reply = server.ask(server.get("noexec"));
    CHECK(reply.status() == 502);
    CHECK(server.wait_log("noexec"));
}

TEST_CASE("names: a missing interpreter is 502 and the log says why", "[resolve]")
{
    const Server server;
    server.add_program("nointerpreter", "#!/no/such/interpreter\n");
    CHECK(server.ask(server.get("nointerpreter")).status() == 502);
    CHECK(server.wait_log("/nointerpreter cannot be run: its interpreter is not there: "
                          "\"/no/such/interpreter\""));
}

TEST_CASE("names: a script with Windows line ends and one without an interpreter are 502",
          "[resolve]")
{
    const Server server;
    server.add_program("windows", "#!/bin/sh\r\necho\r\n");
    CHECK(server.ask(server.get("windows")).status() == 502);
    CHECK(server.wait_log("its interpreter is not there: \"/bin/sh\\x0D\""));
    server.add_program("plain", "echo Content-Type: text/plain\n");
    CHECK(server.ask(server.get("plain")).status() == 502);
    CHECK(server.wait_log("it has no #! line"));
}

TEST_CASE("names: names that are too long are refused", "[resolve]")
{
    const Server server;
    std::string deep;
    while (deep.size() < 5000)
        deep += "/directory";
    for (const auto& name : {"/" + std::string(300, 'n'), deep}) {
        const Reply reply = server.ask(by_document_root(server, name));
        REQUIRE(reply.complete());
        CHECK(reply.status() >= 400);
        CHECK(reply.status() < 500);
    }
}

TEST_CASE("names: shell characters and spaces and UTF-8 are only names", "[resolve]")
{
    const Server server;
    for (const auto* name : {"a b.cgi",
                             "$(touch x).cgi",
                             "`id`",
                             "a;b|c&d",
                             "it's \"quoted\"",
                             "gr\xc3\xbc\xc3\x9f.cgi",
                             "*.cgi",
                             "-n",
                             "\\x",
                             "new\nline"}) {
        CAPTURE(name);
        server.add_program(name, marked);
        CHECK(server.ask(server.get(name)).body() == "MARKED");
        CHECK(server.ask(by_document_root(server, std::string("/") + name)).body() == "MARKED");
    }
    CHECK_FALSE(exists(server.root() + "/x"));
}

TEST_CASE("names: letters whose lower case is longer do not shift the split", "[resolve]")
{
    const Server server({.pool = "allowed_extensions = .cgi\n"});
    const std::string letters = "\xc8\xba\xc8\xba\xc8\xba\xc8\xba";  // U+023A
    server.add_program("plain.txt", marked);
    server.add_program(letters + ".cgi", marked);
    CHECK(server.ask(by_document_root(server, "/" + letters + ".cgi/info")).body() == "MARKED");
    const Reply reply = server.ask(by_document_root(server, "/plain.txt/" + letters + ".cgi"));
    CHECK(reply.status() >= 400);
}

TEST_CASE("names: slashes and dots do not reach through a file", "[resolve]")
{
    const Server server;
    server.add_program("plain.txt", "text", 0644);
    const Reply reply = server.ask(by_document_root(server, "////plain.txt/../hello.sh"));
    REQUIRE(reply.complete());
    CHECK(reply.status() >= 400);
}

TEST_CASE("names: a trailing or doubled slash runs the program or nothing", "[resolve]")
{
    const Server server;
    for (const auto* name : {"/hello.sh/", "//hello.sh", "/hello.sh//"}) {
        const Reply reply = server.ask(by_document_root(server, name));
        REQUIRE(reply.complete());
        CHECK((reply.status() >= 400 || reply.body() == "hello from sh\n"));
    }
}

TEST_CASE("names: a program that is open for writing is 502 and runs when closed", "[resolve]")
{
    const Server server;
    const std::string path = server.add_program("busy", read_file(server.root() + "/act"));
    const int writer = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(writer >= 0);
    CHECK(server.ask(server.get("busy", "text=x")).status() == 502);
    ::close(writer);
    CHECK(server.ask(server.get("busy", "text=x")).body() == "x");
}

TEST_CASE("names: allowed_paths limits which programs run", "[resolve]")
{
    const Server server({.pool = "allowed_paths = /*/*/*/hello.*\n"});
    CHECK(server.ask(server.get("hello.sh")).status() == 200);
    CHECK(server.ask(server.get("act", "text=x")).status() == 403);
}
