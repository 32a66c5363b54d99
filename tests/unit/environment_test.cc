// environment_test.cc - what of a request reaches a program, and what does not.
#include "handler/cgi/environment.h"
#include "handler/cgi/wire_names.h"
#include "tests/catch.h"
#include "tests/unit/wire.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using cgi::EnvironmentRules;
using cgi::Script;
using namespace std::string_literals;

namespace {

using Pair = std::pair<std::string, std::string>;
using Pairs = std::vector<Pair>;

Script script_at(std::string path, std::string name, std::string path_info = "")
{
    Script script;
    script.path = std::move(path);
    script.name = std::move(name);
    script.path_info = std::move(path_info);
    return script;
}

// The environment as the program would see it; a name twice fails the test.
std::map<std::string, std::string> variables_of(const cgi::Environment& environment)
{
    std::map<std::string, std::string> variables;
    for (char* const* at = environment.envp(); *at != nullptr; ++at) {
        const std::string entry = *at;
        const auto equals = entry.find('=');
        REQUIRE(equals != std::string::npos);
        REQUIRE(equals > 0);
        INFO(entry);
        CHECK(variables.emplace(entry.substr(0, equals), entry.substr(equals + 1)).second);
    }
    return variables;
}

struct Request {
    Pairs pairs;
    Script script = script_at("/srv/x.cgi", "/x.cgi");
    EnvironmentRules rules;
    bool with_method = true;

    void decode(fcgi::Params& params) const
    {
        std::string bytes = with_method ? wire::pair("REQUEST_METHOD", "GET") : "";
        for (const auto& [name, value] : pairs)
            bytes += wire::pair(name, value);
        REQUIRE(params.decode(bytes));
    }
    std::map<std::string, std::string> variables() const
    {
        fcgi::Params params;
        decode(params);
        const auto environment = cgi::build_environment(params, script, rules);
        REQUIRE(environment);
        return variables_of(environment.value());
    }
    cgi::Refusal refusal() const
    {
        fcgi::Params params;
        decode(params);
        const auto environment = cgi::build_environment(params, script, rules);
        REQUIRE_FALSE(environment);
        return environment.error();
    }
};

std::map<std::string, std::string> variables(Pairs pairs)
{
    return Request{std::move(pairs), script_at("/srv/x.cgi", "/x.cgi"), {}}.variables();
}

std::optional<std::string> value(const std::map<std::string, std::string>& all,
                                 const std::string& name)
{
    const auto found = all.find(name);
    return found == all.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

TEST_CASE("environment: what the web server sends arrives exact", "[environment]")
{
    const Pairs pairs = {{"QUERY_STRING", "a=b&c=%2F+d??e//f"},
                         {"REQUEST_URI", "/x.cgi?a=b"},
                         {"REMOTE_ADDR", "192.0.2.7"},
                         {"SERVER_NAME", "example.com"},
                         {"SERVER_PORT", "8443"},
                         {"SERVER_PROTOCOL", "HTTP/2.0"},
                         {"SERVER_SOFTWARE", "nginx/1.22.1"},
                         {"REDIRECT_STATUS", "404"},
                         {"DOCUMENT_ROOT", "/var/www"},
                         {"HTTPS", ""},
                         {"HTTP_COOKIE", "a=1; b=\"2\""},
                         {"HTTP_X_ODD", "line\nline 'quotes' \"q\" = \xff\xc3\xbc \x01"},
                         {"GIT_PROJECT_ROOT", "/srv/git"},
                         {"GIT_HTTP_EXPORT_ALL", ""},
                         {"NODE_ENV", "production"},
                         {"HOME", "/srv"},
                         {"TZ", "Europe/Vienna"},
                         {"lower_case", "1"},
                         {"WITH SPACE", "1"},
                         {"N\xc3\xa4me", "1"}};
    const auto all = variables(pairs);
    for (const auto& [name, sent] : pairs) {
        INFO(name);
        CHECK(value(all, name) == sent);
    }
}

TEST_CASE("environment: what RFC 3875 requires is there without being sent", "[environment]")
{
    const auto all = variables({});
    CHECK(value(all, "GATEWAY_INTERFACE") == "CGI/1.1");
    CHECK(value(all, "QUERY_STRING") == "");
    CHECK(value(all, "REMOTE_ADDR") == "127.0.0.1");
    CHECK(value(all, "REQUEST_METHOD") == "GET");
    CHECK(value(all, "SCRIPT_NAME") == "/x.cgi");
    CHECK(value(all, "SCRIPT_FILENAME") == "/srv/x.cgi");
    CHECK(value(all, "SERVER_NAME") == "localhost");
    CHECK(value(all, "SERVER_PORT") == "80");
    CHECK(value(all, "SERVER_PROTOCOL") == "HTTP/1.0");
    CHECK(value(all, "SERVER_SOFTWARE") == "tricorn/" PACKAGE_VERSION);
    CHECK(value(all, "REDIRECT_STATUS") == "200");
    CHECK(value(all, "PATH") == "/usr/local/bin:/usr/bin:/bin");
    CHECK(all.size() == 12);
}

TEST_CASE("environment: empty values of the web server do not hide the defaults", "[environment]")
{
    const auto all = variables({{"SERVER_NAME", ""},
                                {"SERVER_PORT", ""},
                                {"SERVER_PROTOCOL", ""},
                                {"SERVER_SOFTWARE", ""},
                                {"REMOTE_ADDR", ""},
                                {"REDIRECT_STATUS", ""}});
    CHECK(all == variables({}));
}

TEST_CASE("environment: GATEWAY_INTERFACE and PATH cannot be sent", "[environment]")
{
    const auto all = variables({{"GATEWAY_INTERFACE", "CGI/9"}, {"PATH", "/tmp"}});
    CHECK(value(all, "GATEWAY_INTERFACE") == "CGI/1.1");
    CHECK(value(all, "PATH") == "/usr/local/bin:/usr/bin:/bin");
}

TEST_CASE("environment: a missing REQUEST_METHOD is refused with 400", "[environment]")
{
    Request request;
    request.with_method = false;
    CHECK(request.refusal().status == 400);
    request.pairs = {{"REQUEST_METHOD", ""}};
    CHECK(request.refusal().status == 400);
    request.pairs = {{"REQUEST_METHOD", "GET\0"s}};
    CHECK(request.refusal().status == 400);
    CHECK(request.refusal().reason.find("REQUEST_METHOD") != std::string::npos);
}

TEST_CASE("environment: a CONTENT_LENGTH that is no number is refused with 400", "[environment]")
{
    for (const char* length : {"abc", "-1", "+1", " 1", "1 ", "0x1", "1.5", "1,2"}) {
        INFO(length);
        Request request;
        request.pairs = {{"CONTENT_LENGTH", length}};
        CHECK(request.refusal().status == 400);
    }
}

TEST_CASE("environment: an empty CONTENT_LENGTH or CONTENT_TYPE is dropped", "[environment]")
{
    const auto empty = variables({{"CONTENT_LENGTH", ""}, {"CONTENT_TYPE", ""}});
    CHECK_FALSE(value(empty, "CONTENT_LENGTH"));
    CHECK_FALSE(value(empty, "CONTENT_TYPE"));
    const auto full = variables({{"CONTENT_LENGTH", "0"}, {"CONTENT_TYPE", "text/plain"}});
    CHECK(value(full, "CONTENT_LENGTH") == "0");
    CHECK(value(full, "CONTENT_TYPE") == "text/plain");
}

TEST_CASE("environment: HTTP_CONTENT_LENGTH and HTTP_CONTENT_TYPE are dropped", "[environment]")
{
    CHECK(variables({{"HTTP_CONTENT_LENGTH", "5"}, {"HTTP_CONTENT_TYPE", "a/b"}}) == variables({}));
}

TEST_CASE("environment: AUTH_TYPE and REMOTE_USER pass unless empty", "[environment]")
{
    CHECK(variables({{"AUTH_TYPE", ""}, {"REMOTE_USER", ""}}) == variables({}));
    const auto all = variables({{"AUTH_TYPE", "Basic"}, {"REMOTE_USER", "ada"}});
    CHECK(value(all, "AUTH_TYPE") == "Basic");
    CHECK(value(all, "REMOTE_USER") == "ada");
}

TEST_CASE("environment: HTTP_PROXY never passes", "[environment]")
{
    CHECK(variables({{"HTTP_PROXY", "http://evil.example/"},
                     {"http_proxy", "x"},
                     {"HTTPS_PROXY", "x"},
                     {"all_proxy", "x"}}) == variables({}));
    CHECK(value(variables({{"HTTP_PROXY_X", "1"}}), "HTTP_PROXY_X") == "1");
}

TEST_CASE("environment: what steers loaders and interpreters does not pass", "[environment]")
{
    for (const char* name : {"LD_PRELOAD",
                             "LD_LIBRARY_PATH",
                             "LD_AUDIT",
                             "GLIBC_TUNABLES",
                             "GCONV_PATH",
                             "MALLOC_CHECK_",
                             "LOCPATH",
                             "HOSTALIASES",
                             "TMPDIR",
                             "BASH_ENV",
                             "BASH_FUNC_ls%%",
                             "ENV",
                             "IFS",
                             "PS4",
                             "SHELLOPTS",
                             "BASHOPTS",
                             "CDPATH",
                             "PERL5OPT",
                             "PERL5LIB",
                             "PERLLIB",
                             "PYTHONPATH",
                             "PYTHONHOME",
                             "PYTHONSTARTUP",
                             "RUBYOPT",
                             "RUBYLIB",
                             "NODE_OPTIONS",
                             "NODE_PATH",
                             "LUA_INIT",
                             "JAVA_TOOL_OPTIONS",
                             "PHP_VALUE",
                             "PHP_ADMIN_VALUE",
                             "PHPRC",
                             "OPENSSL_CONF",
                             "FCGI_ROLE",
                             "LISTEN_FDS",
                             "LISTEN_PID",
                             "NOTIFY_SOCKET"}) {
        INFO(name);
        CHECK(variables({{name, "x"}}) == variables({}));
        CHECK_FALSE(cgi::may_come_from_wire(name));
        Request request;
        request.rules.env = {{name, "from the pool"}};
        CHECK(value(request.variables(), name) == "from the pool");
    }
}

TEST_CASE("environment: invalid names are dropped", "[environment]")
{
    CHECK(variables({{"", "1"},
                     {"=", "1"},
                     {"A=B", "1"},
                     {"=A", "1"},
                     {"A\0B"s, "1"},
                     {"\0"s, "1"},
                     {"A\nB", "1"},
                     {"A\tB", "1"},
                     {"A\x7f", "1"},
                     {"LD_PRELOAD\0X"s, "1"}}) == variables({}));
}

TEST_CASE("environment: a value with a NUL is dropped", "[environment]")
{
    CHECK(variables({{"A", "1\0LD_PRELOAD=x"s}, {"QUERY_STRING", "\0"s}}) == variables({}));
    // Also where an earlier value of the same name was good.
    CHECK_FALSE(value(variables({{"A", "good"}, {"A", "bad\0"s}}), "A"));
}

TEST_CASE("environment: of a name sent twice the last value counts", "[environment]")
{
    const auto all = variables({{"A", "1"}, {"B", "b"}, {"A", "2"}, {"A", "3"}});
    CHECK(value(all, "A") == "3");
    CHECK(value(all, "B") == "b");
    CHECK_FALSE(
        value(variables({{"CONTENT_LENGTH", "5"}, {"CONTENT_LENGTH", ""}}), "CONTENT_LENGTH"));
    // A wrong length that a good one follows is not the one that counts.
    CHECK(value(variables({{"CONTENT_LENGTH", "x"}, {"CONTENT_LENGTH", "5"}}), "CONTENT_LENGTH") ==
          "5");
}

TEST_CASE("environment: the order of variables does not depend on the web server", "[environment]")
{
    const auto order = [](const Pairs& pairs) {
        Request request;
        request.pairs = pairs;
        fcgi::Params params;
        request.decode(params);
        const auto environment = cgi::build_environment(params, request.script, {});
        std::vector<std::string> entries;
        for (const auto entry : environment.value().entries())
            entries.emplace_back(entry);
        return entries;
    };
    const auto one = order({{"B", "1"}, {"A", "2"}, {"C", "3"}});
    CHECK(one == order({{"C", "3"}, {"A", "2"}, {"B", "1"}}));
    CHECK(std::is_sorted(one.begin(), one.end()));
}

TEST_CASE("environment: the resolved script wins over what was sent", "[environment]")
{
    Request request;
    request.script = script_at("/srv/cgi/a.cgi", "/cgi/a.cgi", "/more/path");
    request.pairs = {{"SCRIPT_NAME", "/cgi/a.cgi/more/path"},
                     {"SCRIPT_FILENAME", "proxy:fcgi://x/srv/cgi/a.cgi/more/path"},
                     {"PATH_INFO", "/wrong"},
                     {"PATH_TRANSLATED", "/etc/passwd"},
                     {"DOCUMENT_ROOT", "/srv/www/"}};
    const auto all = request.variables();
    CHECK(value(all, "SCRIPT_NAME") == "/cgi/a.cgi");
    CHECK(value(all, "SCRIPT_FILENAME") == "/srv/cgi/a.cgi");
    CHECK(value(all, "PATH_INFO") == "/more/path");
    CHECK(value(all, "PATH_TRANSLATED") == "/srv/www/more/path");
}

TEST_CASE("environment: without PATH_INFO there is no PATH_TRANSLATED", "[environment]")
{
    Request request;
    request.pairs = {{"PATH_TRANSLATED", "/x"}, {"DOCUMENT_ROOT", "/srv"}, {"PATH_INFO", "/sent"}};
    const auto all = request.variables();
    CHECK_FALSE(value(all, "PATH_INFO"));
    CHECK_FALSE(value(all, "PATH_TRANSLATED"));
}

TEST_CASE("environment: without DOCUMENT_ROOT or with dots there is no PATH_TRANSLATED",
          "[environment]")
{
    Request request;
    request.script = script_at("/srv/a", "/a", "/x");
    CHECK_FALSE(value(request.variables(), "PATH_TRANSLATED"));
    request.script = script_at("/srv/a", "/a", "/x/../../../etc/passwd");
    request.pairs = {{"DOCUMENT_ROOT", "/srv"}};
    CHECK(value(request.variables(), "PATH_INFO") == "/x/../../../etc/passwd");
    CHECK_FALSE(value(request.variables(), "PATH_TRANSLATED"));
}

TEST_CASE("environment: HTTP_AUTHORIZATION passes unless that is off", "[environment]")
{
    Request request;
    request.pairs = {{"HTTP_AUTHORIZATION", "Basic eDp5"},
                     {"REDIRECT_HTTP_AUTHORIZATION", "Basic eDp5"}};
    CHECK(value(request.variables(), "HTTP_AUTHORIZATION") == "Basic eDp5");
    request.rules.pass_authorization = false;
    CHECK_FALSE(value(request.variables(), "HTTP_AUTHORIZATION"));
    CHECK_FALSE(value(request.variables(), "REDIRECT_HTTP_AUTHORIZATION"));
}

TEST_CASE("environment: the pool's own variables win over all", "[environment]")
{
    Request request;
    request.pairs = {{"APP_MODE", "from the wire"}};
    request.rules.env = {{"APP_MODE", "production"}, {"PATH", "/opt/bin"}, {"SERVER_NAME", "x"}};
    const auto all = request.variables();
    CHECK(value(all, "APP_MODE") == "production");
    CHECK(value(all, "PATH") == "/opt/bin");
    CHECK(value(all, "SERVER_NAME") == "x");
}

TEST_CASE("environment: nothing of our own environment is passed", "[environment]")
{
    REQUIRE(::setenv("TRICORN_TEST_SECRET", "1", 1) == 0);
    CHECK_FALSE(value(variables({}), "TRICORN_TEST_SECRET"));
    CHECK_FALSE(value(variables({}), "HOME"));
}

TEST_CASE("environment: the block stays valid when it is moved", "[environment]")
{
    const std::vector<cgi::Environment::Variable> two = {{"A", "1"}, {"B", ""}};
    cgi::Environment first(two);
    const cgi::Environment second(std::move(first));
    CHECK(second.envp()[0] == "A=1"s);
    CHECK(second.envp()[1] == "B="s);
    CHECK(second.envp()[2] == nullptr);
    const cgi::Environment none({});
    CHECK(none.envp()[0] == nullptr);
    CHECK(none.entries().empty());
}

TEST_CASE("environment: many parameters of one or of many names are not quadratic", "[environment]")
{
    // 120,000 pairs: a quadratic way would take minutes and be killed.
    Request same;
    Request other;
    for (int i = 0; i < 120'000; ++i) {
        same.pairs.emplace_back("SAME", std::to_string(i));
        other.pairs.emplace_back("N" + std::to_string(i), "v");
    }
    CHECK(value(same.variables(), "SAME") == "119999");
    CHECK(other.variables().size() == 12 + 120'000);
}
