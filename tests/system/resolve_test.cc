// resolve_test.cc - which program a request runs, and which it must never run.
// Source   RFC 3875 section 4.1.5; suexec's checks; CVE-2007-1741 (prefix), CVE-2013-4547 (NUL),
//          CVE-2026-24895 (case folding), the fix_pathinfo hole of nginx with PHP.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace {

// As a web server that leaves the resolution to us: DOCUMENT_ROOT and SCRIPT_NAME only.
Request by_document_root(const Server& server,
                         const std::string& name,
                         const std::string& query = "")
{
    Request request = server.get("act", query);
    request.unset("SCRIPT_FILENAME");
    request.set("SCRIPT_NAME", name);
    request.set("REQUEST_URI", name);
    request.set("DOCUMENT_URI", name);
    return request;
}

Request by_file_name(const Server& server, const std::string& path)
{
    Request request = server.get("act");
    request.set("SCRIPT_FILENAME", path);
    return request;
}

int status_of(const Server& server, const Request& request)
{
    const Reply reply = server.ask(request);
    REQUIRE(reply.complete());
    return reply.status();
}

bool denied(const Server& server, const Request& request)
{
    const int status = status_of(server, request);
    return status >= 400 && status < 500;
}

const char* const marked = "#!/bin/sh\nprintf 'A: b\\n\\nMARKED'\n";

}  // namespace

TEST_CASE("resolve: without SCRIPT_FILENAME the document root and SCRIPT_NAME decide", "[resolve]")
{
    const Server server;
    const Reply reply = server.ask(by_document_root(server, "/act", "text=found"));
    CHECK(reply.body() == "found");
}

TEST_CASE("resolve: a request that names no script is an error", "[resolve]")
{
    const Server server;
    Request request = server.get("act");
    for (const auto* name : {"SCRIPT_FILENAME", "SCRIPT_NAME", "DOCUMENT_URI", "REQUEST_URI"})
        request.unset(name);
    CHECK(denied(server, request));
}

TEST_CASE("resolve: the extra path becomes PATH_INFO by walking up", "[resolve]")
{
    const Server server;
    server.add_program("dir/act", read_file(server.root() + "/act"));
    const Reply reply = server.ask(by_document_root(server, "/dir/act/extra/path", "plain&env"));
    REQUIRE(reply.status() == 200);
    CHECK(entry(reply.body(), "SCRIPT_NAME") == "/dir/act");
    CHECK(entry(reply.body(), "PATH_INFO") == "/extra/path");
    CHECK(entry(reply.body(), "SCRIPT_FILENAME") == server.root() + "/dir/act");
    CHECK(entry(reply.body(), "PATH_TRANSLATED") == server.root() + "/extra/path");
}

TEST_CASE("resolve: PATH_INFO of the web server is kept", "[resolve]")
{
    const Server server;
    Request request = server.get("act", "plain&env");
    request.set("PATH_INFO", "/given/by/nginx");
    const Reply reply = server.ask(request);
    CHECK(entry(reply.body(), "PATH_INFO") == "/given/by/nginx");
    CHECK(entry(reply.body(), "SCRIPT_NAME") == "/act");
}

TEST_CASE("resolve: SCRIPT_FILENAME with an extra path is walked up as well", "[resolve]")
{
    const Server server;
    Request request = server.get("act", "plain&env");
    request.set("SCRIPT_FILENAME", server.root() + "/act/more");
    request.set("SCRIPT_NAME", "/act/more");
    const Reply reply = server.ask(request);
    REQUIRE(reply.status() == 200);
    CHECK(entry(reply.body(), "PATH_INFO") == "/more");
    CHECK(entry(reply.body(), "SCRIPT_NAME") == "/act");
}

TEST_CASE("resolve: the proxy prefix of Apache is taken off SCRIPT_FILENAME", "[resolve]")
{
    const Server server;
    for (const auto* prefix : {"proxy:fcgi://localhost", "proxy:fcgi://127.0.0.1:9000"}) {
        const Request request = by_file_name(server, prefix + server.root() + "/hello.sh");
        CHECK(server.ask(request).body() == "hello from sh\n");
    }
}

TEST_CASE("resolve: with a mount the stock parameters of nginx are enough", "[resolve]")
{
    const Server server({.pool = "mount = /cgi-bin\n"});
    Request request = by_document_root(server, "/cgi-bin/act/a/b", "plain&env");
    request.set("DOCUMENT_ROOT", "/usr/share/nginx/html");
    const Reply reply = server.ask(request);
    REQUIRE(reply.status() == 200);
    CHECK(entry(reply.body(), "SCRIPT_NAME") == "/cgi-bin/act");
    CHECK(entry(reply.body(), "PATH_INFO") == "/a/b");
    CHECK(entry(reply.body(), "SCRIPT_FILENAME") == server.root() + "/act");
    CHECK(denied(server, by_document_root(server, "/cgi-binact", "text=x")));
}

TEST_CASE("resolve: with a script one program serves every path", "[resolve]")
{
    const TempDir elsewhere;
    const std::string program = elsewhere / "all";
    write_file(program, read_file(build_file("tests/data/cgi/act")), 0755);
    const Server server({.pool = "script = " + program + "\nmount = /app\n"});
    const Reply reply = server.ask(by_document_root(server, "/app/any/thing", "plain&env"));
    REQUIRE(reply.status() == 200);
    CHECK(entry(reply.body(), "SCRIPT_NAME") == "/app");
    CHECK(entry(reply.body(), "PATH_INFO") == "/any/thing");
}

TEST_CASE("resolve: a missing script is 404", "[resolve]")
{
    const Server server;
    CHECK(status_of(server, server.get("no-such-program")) == 404);
    CHECK(status_of(server, by_document_root(server, "/no/such/program")) == 404);
}

TEST_CASE("resolve: a directory is refused with 403", "[resolve]")
{
    const Server server;
    std::filesystem::create_directory(server.root() + "/directory");
    CHECK(status_of(server, server.get("directory")) == 403);
    CHECK(status_of(server, by_document_root(server, "/directory/")) == 403);
}

TEST_CASE("resolve: a file without the execute bit is 403 and its source is not shown", "[resolve]")
{
    const Server server;
    server.add_program("plain.sh", "#!/bin/sh\n# password=secret\n", 0644);
    const Reply reply = server.ask(server.get("plain.sh"));
    CHECK(reply.status() == 403);
    CHECK(reply.out.find("secret") == std::string::npos);
}

TEST_CASE("resolve: dots cannot lead out of the root", "[resolve]")
{
    const Server server;
    write_file(server.directory() / "outside", marked, 0755);
    for (const auto* name :
         {"/../outside", "/sub/../../outside", "/./../outside", "/..//outside"}) {
        CHECK(denied(server, by_document_root(server, name)));
        CHECK(denied(server, by_file_name(server, server.root() + name)));
    }
}

TEST_CASE("resolve: programs outside the root are refused", "[resolve]")
{
    const Server server;
    const std::string sibling = server.root() + "-outside";
    std::filesystem::create_directory(sibling);
    write_file(sibling + "/program", marked, 0755);
    CHECK(denied(server, by_file_name(server, "/usr/bin/env")));
    CHECK(denied(server, by_file_name(server, sibling + "/program")));
    CHECK(denied(server, by_file_name(server, "usr/bin/env")));
    Request request = by_document_root(server, "/program");
    request.set("DOCUMENT_ROOT", sibling);
    CHECK(denied(server, request));
}

TEST_CASE("resolve: a symbolic link that leads out of the root is refused", "[resolve]")
{
    const Server server;
    write_file(server.directory() / "outside", marked, 0755);
    std::filesystem::create_symlink(server.directory() / "outside", server.root() + "/absolute");
    std::filesystem::create_symlink("../outside", server.root() + "/relative");
    std::filesystem::create_directory_symlink(server.directory().path(), server.root() + "/up");
    CHECK(denied(server, server.get("absolute")));
    CHECK(denied(server, server.get("relative")));
    CHECK(denied(server, server.get("up/outside")));
}

TEST_CASE("resolve: a symbolic link within the root runs", "[resolve]")
{
    const Server server;
    std::filesystem::create_symlink("hello.sh", server.root() + "/link");
    CHECK(server.ask(server.get("link")).body() == "hello from sh\n");
}

TEST_CASE("resolve: a loop of symbolic links is refused", "[resolve]")
{
    const Server server;
    std::filesystem::create_symlink("two", server.root() + "/one");
    std::filesystem::create_symlink("one", server.root() + "/two");
    CHECK(denied(server, server.get("one")));
}

TEST_CASE("resolve: a NUL in a name is refused", "[resolve]")
{
    const Server server;
    const std::string tail("\0.txt", 5);
    CHECK(denied(server, by_file_name(server, server.root() + "/hello.sh" + tail)));
    CHECK(denied(server, by_document_root(server, "/hello.sh" + tail)));
}

TEST_CASE("resolve: an image with an extra path that looks like a script does not run", "[resolve]")
{
    const Server server({.pool = "allowed_extensions = .cgi .sh\n"});
    server.add_program("image.gif", marked, 0755);
    server.add_program("upload/photo.jpg", marked, 0644);
    CHECK(denied(server, server.get("image.gif")));
    CHECK(denied(server, by_document_root(server, "/image.gif/x.cgi")));
    CHECK(denied(server, by_file_name(server, server.root() + "/image.gif/x.cgi")));
    CHECK(denied(server, by_document_root(server, "/upload/photo.jpg/x.cgi")));
    CHECK(server.ask(server.get("hello.sh")).body() == "hello from sh\n");
}
