// environment_test.cc - what a program gets: environment, arguments, directory, descriptors,
// signals.
// Source   RFC 3875 sections 4.1, 4.4, 7.2; CVE-2016-5385 (httpoxy), CVE-2012-1823 (query as
//          arguments).
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <cstdlib>
#include <map>
#include <string>

namespace {

std::string environment_of(const Server& server, Request request)
{
    request.set("QUERY_STRING", "plain&env");
    const Reply reply = server.ask(request);
    REQUIRE(reply.complete());
    REQUIRE(reply.status() == 200);
    return reply.body();
}

const char* const absent = "(absent)";

}  // namespace

TEST_CASE("environment: the meta-variables of the web server arrive unchanged", "[environment]")
{
    const Server server;
    const std::string body = environment_of(server, server.get("act"));
    CHECK(entry(body, "REQUEST_METHOD") == "GET");
    CHECK(entry(body, "SCRIPT_NAME") == "/act");
    CHECK(entry(body, "SCRIPT_FILENAME") == server.root() + "/act");
    CHECK(entry(body, "DOCUMENT_ROOT") == server.root());
    CHECK(entry(body, "REQUEST_URI") == "/act");
    CHECK(entry(body, "SERVER_PROTOCOL") == "HTTP/1.1");
    CHECK(entry(body, "SERVER_SOFTWARE") == "nginx/1.22.1");
    CHECK(entry(body, "SERVER_NAME") == "example.org");
    CHECK(entry(body, "SERVER_PORT") == "80");
    CHECK(entry(body, "REMOTE_ADDR") == "192.0.2.7");
    CHECK(entry(body, "REMOTE_PORT") == "51234");
    CHECK(entry(body, "REDIRECT_STATUS") == "200");
    CHECK(entry(body, "HTTP_USER_AGENT") == "system-test/1");
}

TEST_CASE("environment: parameters that the administrator adds arrive", "[environment]")
{
    const Server server;
    Request request = server.get("act");
    request.set("GIT_PROJECT_ROOT", "/srv/git");
    request.set("GIT_HTTP_EXPORT_ALL", "1");
    const std::string body = environment_of(server, request);
    CHECK(entry(body, "GIT_PROJECT_ROOT") == "/srv/git");
    CHECK(entry(body, "GIT_HTTP_EXPORT_ALL") == "1");
}

TEST_CASE("environment: QUERY_STRING is there and empty when there is no query", "[environment]")
{
    const Server server;
    server.add_program("query.sh",
                       "#!/bin/sh\nprintf 'A: b\\n\\n[%s]' \"${QUERY_STRING-unset}\"\n");
    Request request = server.get("query.sh");
    CHECK(server.ask(request).body() == "[]");
    request.unset("QUERY_STRING");
    CHECK(server.ask(request).body() == "[]");
}

TEST_CASE("environment: GATEWAY_INTERFACE is CGI/1.1 whatever the web server sends",
          "[environment]")
{
    const Server server;
    Request request = server.get("act");
    request.unset("GATEWAY_INTERFACE");
    CHECK(entry(environment_of(server, request), "GATEWAY_INTERFACE") == "CGI/1.1");
    request.set("GATEWAY_INTERFACE", "CGI/9.9");
    CHECK(entry(environment_of(server, request), "GATEWAY_INTERFACE") == "CGI/1.1");
}

TEST_CASE("environment: empty CONTENT_LENGTH and CONTENT_TYPE are left out", "[environment]")
{
    const Server server;
    const std::string body = environment_of(server, server.get("act"));
    CHECK(entry(body, "CONTENT_LENGTH", absent) == absent);
    CHECK(entry(body, "CONTENT_TYPE", absent) == absent);
}

TEST_CASE("environment: CONTENT_LENGTH and CONTENT_TYPE of a POST arrive", "[environment]")
{
    const Server server;
    const std::string body = environment_of(server, server.post("act", "", "12345"));
    CHECK(entry(body, "CONTENT_LENGTH") == "5");
    CHECK(entry(body, "CONTENT_TYPE") == "application/octet-stream");
}

TEST_CASE("environment: HTTP_PROXY never reaches the program", "[environment]")
{
    const Server server;
    Request request = server.get("act");
    request.set("HTTP_PROXY", "http://attacker.example/");
    CHECK(entry(environment_of(server, request), "HTTP_PROXY", absent) == absent);
}

TEST_CASE("environment: HTTP_AUTHORIZATION passes unless the pool says otherwise", "[environment]")
{
    const Server open;
    Request request = open.get("act");
    request.set("HTTP_AUTHORIZATION", "Basic YTpi");
    CHECK(entry(environment_of(open, request), "HTTP_AUTHORIZATION") == "Basic YTpi");
    const Server closed({.pool = "pass_authorization = no\n"});
    request = closed.get("act");
    request.set("HTTP_AUTHORIZATION", "Basic YTpi");
    CHECK(entry(environment_of(closed, request), "HTTP_AUTHORIZATION", absent) == absent);
}

TEST_CASE("environment: no name is there twice", "[environment]")
{
    const Server server;
    Request request = server.get("act");
    request.params.emplace_back("HTTP_X_TWICE", "one");
    request.params.emplace_back("HTTP_X_TWICE", "two");
    request.params.emplace_back("SCRIPT_NAME", "/other");
    std::map<std::string, int> names;
    for (const auto& [name, value] : parse_entries(environment_of(server, request)))
        ++names[name];
    for (const auto& [name, count] : names) {
        CAPTURE(name);
        CHECK(count == 1);
    }
}

TEST_CASE("environment: newlines and quotes and high bytes in a value arrive exact",
          "[environment]")
{
    const Server server;
    std::string value = "a\nb='\"$(id)`x`;\\ \t\r=";
    for (int c = 1; c < 256; ++c)
        value += static_cast<char>(c);
    Request request = server.get("act");
    request.set("HTTP_X_ODD", value);
    CHECK(entry(environment_of(server, request), "HTTP_X_ODD") == value);
}

TEST_CASE("environment: a NUL in a name or value cannot make another variable", "[environment]")
{
    const Server server;
    const std::string nul(1, '\0');
    for (const bool in_name : {false, true}) {
        Request request = server.get("act");
        if (in_name)
            request.params.emplace_back("HTTP_A" + nul + "EVIL=1", "x");
        else
            request.params.emplace_back("HTTP_A", "x" + nul + "EVIL=1");
        request.set("QUERY_STRING", "plain&env");
        const Reply reply = server.ask(request);
        REQUIRE(reply.end == End::ended);
        if (reply.status() == 200)
            CHECK(entry(reply.body(), "EVIL", absent) == absent);
    }
}

TEST_CASE("environment: empty names and names with an equals sign are dropped", "[environment]")
{
    const Server server;
    Request request = server.get("act");
    request.params.emplace_back("", "nothing");
    request.params.emplace_back("EVIL=1", "x");
    const std::string body = environment_of(server, request);
    CHECK(entry(body, "", absent) == absent);
    CHECK(entry(body, "EVIL", absent) == absent);
}

TEST_CASE("environment: what steers loaders and interpreters does not pass", "[environment]")
{
    const Server server;
    const std::vector<std::string> names{"LD_PRELOAD",
                                         "LD_LIBRARY_PATH",
                                         "LD_AUDIT",
                                         "GLIBC_TUNABLES",
                                         "GCONV_PATH",
                                         "BASH_ENV",
                                         "ENV",
                                         "SHELLOPTS",
                                         "BASH_FUNC_x%%",
                                         "PERL5OPT",
                                         "PERL5LIB",
                                         "PERL5DB",
                                         "PYTHONPATH",
                                         "PYTHONSTARTUP",
                                         "PYTHONHOME",
                                         "RUBYOPT",
                                         "NODE_OPTIONS"};
    Request request = server.get("act");
    for (const auto& name : names)
        request.params.emplace_back(name, "/tmp/evil");
    const std::string body = environment_of(server, request);
    for (const auto& name : names) {
        CAPTURE(name);
        CHECK(entry(body, name, absent) == absent);
    }
}

TEST_CASE("environment: env.NAME of the pool sets any variable and wins", "[environment]")
{
    const Server server({.pool = "env.PERL5LIB = /srv/perl\nenv.SERVER_ADMIN = web@example.org\n"});
    Request request = server.get("act");
    request.set("SERVER_ADMIN", "somebody else");
    request.set("PERL5LIB", "/tmp/evil");
    const std::string body = environment_of(server, request);
    CHECK(entry(body, "PERL5LIB") == "/srv/perl");
    CHECK(entry(body, "SERVER_ADMIN") == "web@example.org");
}

TEST_CASE("environment: the environment of the server is not shown to programs", "[environment]")
{
    const Server server({.environment = {{"DATABASE_PASSWORD", "secret"},
                                         {"HTTP_X_OF_THE_SERVER", "secret"},
                                         {"TZ", "Europe/Vienna"}}});
    Request request = server.get("act");
    request.set("FCGI_ROLE", "RESPONDER");
    const std::string body = environment_of(server, request);
    CHECK(body.find("secret") == std::string::npos);
    CHECK(entry(body, "TZ", absent) == absent);
    CHECK(entry(body, "HOME", absent) != "/root");
    CHECK(entry(body, "FCGI_ROLE", absent) == absent);
}

TEST_CASE("environment: PATH is set to something usable", "[environment]")
{
    const Server server;
    const std::string path = entry(environment_of(server, server.get("act")), "PATH");
    CHECK((":" + path + ":").find(":/usr/bin:") != std::string::npos);
    CHECK((":" + path + ":").find(":/bin:") != std::string::npos);
    server.add_program("tools.sh", "#!/bin/sh\necho 'A: b'\necho\nuname -s\n");
    CHECK(server.ask(server.get("tools.sh")).body() == "Linux\n");
}

TEST_CASE("environment: the query string never becomes arguments", "[environment]")
{
    const Server server;
    server.add_program("args.sh", "#!/bin/sh\nprintf 'A: b\\n\\n%s' $#\n");
    for (const auto* query : {"a+b", "-s", "--version", "-d+allow_url_include%3d1", "x y"})
        CHECK(server.ask(server.get("args.sh", query)).body() == "0");
}

TEST_CASE("environment: odd query strings arrive verbatim", "[environment]")
{
    const Server server;
    server.add_program("query.sh", "#!/bin/sh\nprintf 'A: b\\n\\n%s' \"$QUERY_STRING\"\n");
    for (const auto* query : {"a=1?b=2?c",
                              "path=//a//b",
                              "x=%2F%00%0a",
                              "a b",
                              "a+b",
                              "\xc3\xa4=\xff",
                              "&&==",
                              "'\"`$("})
        CHECK(server.ask(server.get("query.sh", query)).body() == query);
}

TEST_CASE("environment: the first argument is the script", "[environment]")
{
    const Server server;
    CHECK(server.act("plain&args").body() == server.root() + "/act" + std::string(1, '\0'));
}
