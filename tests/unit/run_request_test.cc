// run_request_test.cc - how a shell's environment becomes a request.
// Source   RFC 3875 section 4.1.
#include "server/run_request.h"
#include "tests/catch.h"

#include <optional>
#include <string>
#include <vector>

using server::body_limit;
using server::build_request;
using server::Variables;

namespace {

const server::ProgramName hello{"/srv/cgi/hello.sh", "/cgi/hello.sh", "/srv/cgi"};

Variables taken(const std::vector<const char*>& environment)
{
    std::vector<const char*> block = environment;
    block.push_back(nullptr);
    return server::request_variables(block.data());
}

}  // namespace

TEST_CASE("run: without anything in the shell it is a GET of the program", "[run]")
{
    CHECK(build_request({}, hello, std::nullopt) ==
          Variables{{"DOCUMENT_ROOT", "/srv/cgi"},
                    {"DOCUMENT_URI", "/cgi/hello.sh"},
                    {"HTTP_HOST", "localhost"},
                    {"QUERY_STRING", ""},
                    {"REQUEST_METHOD", "GET"},
                    {"REQUEST_SCHEME", "http"},
                    {"REQUEST_URI", "/cgi/hello.sh"},
                    {"SCRIPT_FILENAME", "/srv/cgi/hello.sh"},
                    {"SCRIPT_NAME", "/cgi/hello.sh"}});
}

TEST_CASE("run: of the shell only what belongs to a request is taken", "[run]")
{
    CHECK(taken({"REQUEST_METHOD=PUT",
                 "HTTP_COOKIE=a=b",
                 "HTTP_=x",
                 "HOME=/root",
                 "LD_PRELOAD=x",
                 "http_proxy=x",
                 "SERVER_NAMES=x",
                 "GATEWAY_INTERFACE=x",
                 "SCRIPT_FILENAME=/etc/passwd",
                 "PATH=/bin",
                 "REMOTE_USER=",
                 "odd"}) == Variables{{"REQUEST_METHOD", "PUT"},
                                      {"HTTP_COOKIE", "a=b"},
                                      {"HTTP_", "x"},
                                      {"REMOTE_USER", ""}});
}

TEST_CASE("run: what the shell says wins over what is made up", "[run]")
{
    const Variables request = build_request({{"QUERY_STRING", "a=b&c"},
                                             {"PATH_INFO", "/more"},
                                             {"SERVER_NAME", "example.org"},
                                             {"SCRIPT_NAME", "/elsewhere"},
                                             {"REQUEST_SCHEME", "https"}},
                                            hello,
                                            std::nullopt);
    CHECK(request.at("REQUEST_URI") == "/cgi/hello.sh/more?a=b&c");
    CHECK(request.at("DOCUMENT_URI") == "/cgi/hello.sh/more");
    CHECK(request.at("HTTP_HOST") == "example.org");
    CHECK(request.at("REQUEST_SCHEME") == "https");
    CHECK(request.at("SCRIPT_NAME") == "/cgi/hello.sh");  // decided by who names the program
    CHECK(build_request({{"REQUEST_URI", "/x"}}, hello, std::nullopt).at("REQUEST_URI") == "/x");
}

TEST_CASE("run: methods that bring a body bring all of standard input", "[run]")
{
    for (const char* method : {"POST", "PUT", "PATCH"})
        CHECK(body_limit({{"REQUEST_METHOD", method}}) == std::string::npos);
    for (const char* method : {"GET", "HEAD", "DELETE", "OPTIONS", "post", ""})
        CHECK(body_limit({{"REQUEST_METHOD", method}}) == std::nullopt);
    CHECK(body_limit({}) == std::nullopt);
}

TEST_CASE("run: a CONTENT_LENGTH says how much of standard input is the body", "[run]")
{
    CHECK(body_limit({{"CONTENT_LENGTH", "12"}}) == 12U);
    CHECK(body_limit({{"CONTENT_LENGTH", "0"}, {"REQUEST_METHOD", "POST"}}) == 0U);
    CHECK(body_limit({{"CONTENT_LENGTH", ""}, {"REQUEST_METHOD", "POST"}}) == std::string::npos);
    CHECK(body_limit({{"CONTENT_LENGTH", "x"}, {"REQUEST_METHOD", "POST"}}) == 0U);
}

TEST_CASE("run: a body has a length and a type", "[run]")
{
    const Variables request = build_request({}, hello, 17);
    CHECK(request.at("CONTENT_LENGTH") == "17");
    CHECK(request.at("CONTENT_TYPE") == "application/x-www-form-urlencoded");
    const Variables given =
        build_request({{"CONTENT_LENGTH", "99"}, {"CONTENT_TYPE", "text/plain"}}, hello, 17);
    CHECK(given.at("CONTENT_LENGTH") == "99");
    CHECK(given.at("CONTENT_TYPE") == "text/plain");
    CHECK(build_request({{"CONTENT_LENGTH", ""}}, hello, 17).at("CONTENT_LENGTH") == "17");
    CHECK(build_request({{"CONTENT_LENGTH", ""}}, hello, std::nullopt).count("CONTENT_LENGTH") ==
          0);
}
