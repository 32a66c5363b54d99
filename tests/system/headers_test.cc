// headers_test.cc - the header block of a program's reply: what passes, and what is refused with
// 502.
// Source   RFC 3875 section 6; RFC 6265 section 3; RFC 9110 section 5.5; what nginx and Apache
//          refuse.
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <string>

namespace {

Reply answer_to(const Server& server, const std::string& output)
{
    Reply reply = server.act("out=" + encode(output));
    REQUIRE(reply.complete());
    return reply;
}

int status_of(const Server& server, const std::string& output)
{
    return answer_to(server, output).status();
}

}  // namespace

TEST_CASE("headers: lines may end in LF or in CRLF or in both", "[headers]")
{
    const Server server;
    for (const auto* output : {"Content-Type: text/plain\nX-A: b\n\nbody",
                               "Content-Type: text/plain\r\nX-A: b\r\n\r\nbody",
                               "Content-Type: text/plain\nX-A: b\r\n\nbody"}) {
        const CgiAnswer answer = answer_to(server, output).answer();
        CHECK(answer.status == 200);
        CHECK(answer.header("X-A") == "b");
        CHECK(answer.body == "body");
    }
}

TEST_CASE("headers: the blank line may arrive in pieces", "[headers]")
{
    const Server server;
    const Reply reply = server.act("out=A%3a%20b%0d&sleep=20&out=%0a&sleep=20&out=%0d&sleep=20"
                                   "&out=%0a&sleep=20&out=body");
    REQUIRE(reply.complete());
    CHECK(reply.answer().header("A") == "b");
    CHECK(reply.body() == "body");
}

TEST_CASE("headers: a header that arrives byte by byte is whole", "[headers]")
{
    const Server server;
    const Reply reply =
        server.act("slow=" + encode("Status: 201 Created\r\nX-Slow: yes\r\n\r\nbody"));
    REQUIRE(reply.complete());
    CHECK(reply.status() == 201);
    CHECK(reply.answer().header("X-Slow") == "yes");
    CHECK(reply.body() == "body");
}

TEST_CASE("headers: the names of fields have no case", "[headers]")
{
    const Server server;
    CHECK(status_of(server, "sTaTuS: 404 Not Found\n\nbody") == 404);
}

TEST_CASE("headers: Location alone is a redirect", "[headers]")
{
    const Server server;
    const CgiAnswer answer = answer_to(server, "Location: http://example.org/x\n\n").answer();
    CHECK(answer.status == 302);
    CHECK(answer.header("Location") == "http://example.org/x");
    CHECK(answer.body.empty());
}

TEST_CASE("headers: a local redirect is passed on unless the pool hands it to nginx", "[headers]")
{
    const Server server;
    const CgiAnswer plain = answer_to(server, "Location: /other?x=1\n\n").answer();
    CHECK(plain.status == 302);
    CHECK(plain.header("Location") == "/other?x=1");
    const Server internal({.pool = "local_redirect = yes\n"});
    const CgiAnswer answer = answer_to(internal, "Location: /other?x=1\n\n").answer();
    CHECK(answer.header("X-Accel-Redirect") == "/other?x=1");
    CHECK_FALSE(answer.header("Location"));
}

TEST_CASE("headers: repeated Set-Cookie fields keep their number and order", "[headers]")
{
    const Server server;
    const CgiAnswer answer =
        answer_to(server, "Set-Cookie: a=1\nSet-Cookie: b=2\nX: y\nSet-Cookie: c=3\n\n").answer();
    CHECK(answer.all("Set-Cookie") == std::vector<std::string>{"a=1", "b=2", "c=3"});
}

TEST_CASE("headers: a value of 16 kilobytes passes", "[headers]")
{
    const Server server;
    server.add_program("long.pl",
                       "#!/usr/bin/perl\nprint 'X-Long: ', 'v' x 16384, \"\\n\\nbody\";\n");
    const CgiAnswer answer = server.ask(server.get("long.pl")).answer();
    CHECK(answer.status == 200);
    CHECK(answer.header("X-Long") == std::string(16384, 'v'));
}

TEST_CASE("headers: a header of 100 kilobytes is 502", "[headers]")
{
    const Server server;
    server.add_program("long.pl",
                       "#!/usr/bin/perl\nprint 'X-Long: ', 'v' x 102400, \"\\n\\nbody\";\n");
    CHECK(server.ask(server.get("long.pl")).status() == 502);
}

TEST_CASE("headers: 400 lines pass whole and 20000 are 502 whatever their size", "[headers]")
{
    const Server server({.pool = "max_header_size = 1m\n"});
    server.add_program("many.pl",
                       "#!/usr/bin/perl\n"
                       "print \"X-N: $_\\n\" for 1..$ENV{QUERY_STRING};\n"
                       "print \"\\nbody\";\n");
    const Reply reply = server.ask(server.get("many.pl", "400"));
    REQUIRE(reply.complete());
    CHECK(reply.answer().all("X-N").size() == 400);
    CHECK(server.ask(server.get("many.pl", "20000")).status() == 502);
    CHECK(server.wait_log("the header has more than 500 lines"));
}

TEST_CASE("headers: max_header_size moves the limit", "[headers]")
{
    const Server server({.pool = "max_header_size = 1k\n"});
    CHECK(status_of(server, "A: " + std::string(900, 'a') + "\n\nbody") == 200);
    CHECK(status_of(server, "A: " + std::string(1100, 'a') + "\n\nbody") == 502);
}

TEST_CASE("headers: malformed lines are 502", "[headers]")
{
    const Server server;
    const std::vector<std::string> outputs{
        "Content-Type: text/plain\nno colon here\n\nbody",
        "Content-Type: text/plain\nX-Folded: a\n b\n\nbody",
        "Name : value\n\nbody",
        "Na me: value\n\nbody",
        ": value\n\nbody",
        "X-A: a\rSet-Cookie: evil=1\n\nbody",
        "X-A: a\r\rB: c\n\nbody",
        "A: b\rC: d\r\rbody",
        std::string("X-A: a\0b\n\nbody", 14),
        "X-A: a\x01-b\n\nbody",
        "X\x7f: a\n\nbody",
    };
    for (const auto& output : outputs) {
        CAPTURE(output);
        CHECK(status_of(server, output) == 502);
    }
    CHECK(server.serves());
}

TEST_CASE("headers: a wrong Status is 502", "[headers]")
{
    const Server server;
    for (const auto* status :
         {"abc", "99", "600", "1000", "", "20", "-200", "100 Continue", "101"}) {
        CAPTURE(status);
        CHECK(status_of(server, std::string("Status: ") + status + "\n\nbody") == 502);
    }
}

TEST_CASE("headers: a right Status is passed on with its text", "[headers]")
{
    const Server server;
    for (const auto* status : {"200", "404 Not Found", "599 Odd", "418 I'm a teapot"}) {
        const CgiAnswer answer =
            answer_to(server, std::string("Status: ") + status + "\n\nbody").answer();
        CHECK(answer.header("Status") == status);
        CHECK(answer.body == "body");
    }
}

TEST_CASE("headers: a status line of HTTP is taken as the status", "[headers]")
{
    const Server server;
    CHECK(status_of(server, "HTTP/1.1 203 Mostly\r\nContent-Type: text/plain\r\n\r\nbody") == 203);
    CHECK(status_of(server, "HTTP/1.0 404 Not Found\nA: b\n\nbody") == 404);
    const CgiAnswer answer = answer_to(server, "HTTP/1.1 203 Mostly\nA: b\n\nbody").answer();
    CHECK(answer.header("A") == "b");
    CHECK(answer.body == "body");
}

TEST_CASE("headers: no Content-Type is no error", "[headers]")
{
    const Server server;
    const CgiAnswer answer = answer_to(server, "X-Only: this\n\nbody").answer();
    CHECK(answer.status == 200);
    CHECK(answer.body == "body");
}

TEST_CASE("headers: hop-by-hop fields of the program do not pass", "[headers]")
{
    const Server server;
    const CgiAnswer answer =
        answer_to(server,
                  "Transfer-Encoding: chunked\nConnection: keep-alive\nContent-Type: a/b\n\nbody")
            .answer();
    CHECK(answer.status == 200);
    CHECK_FALSE(answer.header("Transfer-Encoding"));
    CHECK_FALSE(answer.header("Connection"));
    CHECK(answer.header("Content-Type") == "a/b");
    CHECK(answer.body == "body");
}

TEST_CASE("headers: a Content-Length that is no number or not the same twice is 502", "[headers]")
{
    const Server server;
    CHECK(status_of(server, "Content-Length: four\n\nbody") == 502);
    CHECK(status_of(server, "Content-Length: -4\n\nbody") == 502);
    CHECK(status_of(server, "Content-Length: 4\nContent-Length: 5\n\nbody") == 502);
    const CgiAnswer answer =
        answer_to(server, "Content-Length: 4\nContent-Length: 4\n\nbody").answer();
    CHECK(answer.status == 200);
    CHECK(answer.all("Content-Length").size() <= 1);
    CHECK(answer.body == "body");
}

TEST_CASE("headers: 204 and 304 have no body", "[headers]")
{
    const Server server;
    for (const auto* status : {"204 No Content", "304 Not Modified"}) {
        const CgiAnswer answer =
            answer_to(server, std::string("Status: ") + status + "\n\nsmuggled").answer();
        CHECK(answer.header("Status") == status);
        CHECK(answer.body.empty());
    }
}

TEST_CASE("headers: a body of blank lines and every byte value is exact", "[headers]")
{
    const Server server;
    std::string body = "\r\n\n\r\n";
    for (int c = 0; c < 256; ++c)
        body += static_cast<char>(c);
    CHECK(answer_to(server, "A: b\n\n" + body).body() == body);
}

TEST_CASE("headers: the header leaves as soon as it is complete", "[headers]")
{
    const Server server;
    const std::string mark = server.directory() / "go";
    FastcgiClient client(server.address());
    client.send(
        server
            .get("act",
                 "out=" + encode("X-Early: yes\r\n\r\n") + "&wait=" + encode(mark) + "&out=late")
            .bytes());
    CHECK(client.wait_for_output("X-Early: yes"));
    write_file(mark, "");
    CHECK(client.wait_for_output("late"));
}
