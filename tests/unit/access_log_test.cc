#include "log/access_log.h"
#include "log/log.h"
#include "tests/unit/support.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>

#include <nlohmann/json.hpp>

using namespace std::chrono_literals;
using namespace std::string_literals;
using unit::read_file;
using unit::TempDir;

namespace {

// Pairs of at most 127 bytes each, as FastCGI encodes them.
using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string encode(const Pairs& pairs)
{
    std::string bytes;
    for (const auto& [name, value] : pairs) {
        bytes += static_cast<char>(name.size());
        bytes += static_cast<char>(value.size());
        bytes += name + value;
    }
    return bytes;
}

struct Request {
    explicit Request(const Pairs& pairs = {
                         {"REMOTE_ADDR", "192.0.2.7"},
                         {"REQUEST_METHOD", "GET"},
                         {"REQUEST_URI", "/cgi-bin/a.cgi/x?q=1"},
                         {"QUERY_STRING", "q=1"},
                         {"SERVER_PROTOCOL", "HTTP/1.1"},
                         {"HTTP_USER_AGENT", "curl/7"},
                         {"CONTENT_TYPE", "text/plain"},
                     })
    {
        REQUIRE(params.decode(encode(pairs)));
        entry.pool = "www";
        entry.script = "/srv/a.cgi";
        entry.status = 200;
        entry.header = "Status: 200 OK\r\nContent-Type: text/html\r\nX-Empty:\r\n\r\n";
        entry.bytes = 1234;
        entry.start = std::chrono::system_clock::from_time_t(1'790'000'000) + 45ms;
        entry.elapsed = 1'002'003us;
        entry.program_time = 998ms;
        entry.exit_status = 0;
        entry.worker = 4711;
    }
    fcgi::Params params;
    AccessEntry entry{params};
};

std::string format(const std::string& atoms, const AccessEntry& entry)
{
    auto compiled = AccessFormat::compile(atoms);
    REQUIRE(compiled);
    std::string out;
    compiled->append(out, entry);
    return out;
}

}  // namespace

TEST_CASE("access log: the default format has every field in its place", "[access_log]")
{
    const unit::Variable zone("TZ", "UTC");
    ::tzset();
    const Request request;
    CHECK(format("default", request.entry) ==
          "192.0.2.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /cgi-bin/a.cgi/x?q=1 HTTP/1.1\" 200 "
          "1234 \"-\" \"curl/7\" /srv/a.cgi 998 0");
}

TEST_CASE("access log: every atom says what it stands for", "[access_log]")
{
    const Request request;
    const auto& entry = request.entry;
    CHECK(format("%(m)s|%(U)s|%(q)s|%(H)s", entry) == "GET|/cgi-bin/a.cgi/x|q=1|HTTP/1.1");
    CHECK(format("%(B)s %(b)s %(T)s %(M)s %(D)s %(L)s", entry) ==
          "1234 1234 1 1002 1002003 1.002003");
    CHECK(format("%(p)s %(pool)s %(l)s %%", entry) == "<4711> www - %");
    CHECK(format("%({User-Agent}i)s %({content-type}i)s", entry) == "curl/7 text/plain");
    CHECK(format("%({content-type}o)s %({X-Empty}o)s %({X-None}o)s", entry) == "text/html - -");
    CHECK(format("%({QUERY_STRING}e)s %({NONE}e)s", entry) == "q=1 -");
}

TEST_CASE("access log: what is not known is a dash", "[access_log]")
{
    Request request(Pairs{});
    request.entry.script = {};
    request.entry.status = 0;
    request.entry.bytes = 0;
    request.entry.header = {};
    request.entry.program_time = std::nullopt;
    request.entry.exit_status = std::nullopt;
    CHECK(format("%(h)s %(u)s %(r)s %(s)s %(b)s %(B)s %(script)s %(program_time)s %(exit)s",
                 request.entry) == "- - - - - - - 0 - - -");
}

TEST_CASE("access log: a program that was killed is logged with its signal", "[access_log]")
{
    Request request;
    request.entry.exit_status = std::nullopt;
    request.entry.exit_signal = SIGSEGV;
    CHECK(format("%(exit)s", request.entry) == "SIGSEGV");
}

TEST_CASE("access log: a client cannot make a line or leave its quotes", "[access_log]")
{
    const Request request({{"HTTP_USER_AGENT", "x\" 200 0\n1.2.3.4 - - \x1b[2J\\\0\xFF"s},
                           {"REQUEST_METHOD", "GET\r\n"}});
    CHECK(format("\"%(a)s\"", request.entry) ==
          "\"x\\\" 200 0\\x0A1.2.3.4 - - \\x1B[2J\\\\\\x00\\xFF\"");
    CHECK(format("%(m)s", request.entry) == "GET\\x0D\\x0A");
}

TEST_CASE("access log: a line of the reply header is found by its whole name only", "[access_log]")
{
    Request request;
    request.entry.header = "X-A: 1\nno colon\nX-AB: 2\n\n";
    CHECK(format("%({x-ab}o)s %({X-A}o)s %({X}o)s", request.entry) == "2 1 -");
}

TEST_CASE("access log: a bad format names the atom", "[access_log]")
{
    const auto check = [](const char* text) {
        return AccessLog::check_format(text).value_or("good");
    };
    CHECK(check("default") == "good");
    CHECK(check("json") == "good");
    CHECK(check("") == "good");
    CHECK(check("%(h)s %(zz)s").find("\"%(zz)s\"") != std::string::npos);
    CHECK(check("%({A}x)s").find("\"%({A}x)s\"") != std::string::npos);
    CHECK(check("%({}i)s").find("name is missing") != std::string::npos);
    CHECK(check("%({A").find("%({A") != std::string::npos);
    CHECK(check("100%") != "good");
    CHECK(check("%") != "good");
    CHECK(check("%h %(s)s") != "good");
    CHECK(check("%(h) %(s)s") != "good");
    CHECK(check("%(h)d") != "good");
    CHECK_THROWS_AS(AccessLog("%(zz)s", ""), std::invalid_argument);
}

TEST_CASE("access log: JSON is one object with every key", "[access_log]")
{
    const unit::Variable zone("TZ", "UTC");
    ::tzset();
    const Request request;
    const auto json = nlohmann::json::parse(format("json", request.entry));
    CHECK(json["time"] == "2026-09-21T14:13:20.045+00:00");
    CHECK(json["pool"] == "www");
    CHECK(json["remote_addr"] == "192.0.2.7");
    CHECK(json["remote_user"].is_null());
    CHECK(json["uri"] == "/cgi-bin/a.cgi/x?q=1");
    CHECK(json["status"] == 200);
    CHECK(json["bytes"] == 1234);
    CHECK(json["request_ms"] == 1002.003);
    CHECK(json["program_ms"] == 998);
    CHECK(json["exit"] == 0);
    CHECK(json["signal"].is_null());
    CHECK(json["pid"] == 4711);
    CHECK(json.size() == 18);
}

TEST_CASE("access log: JSON of hostile bytes is one line of ASCII that parses", "[access_log]")
{
    std::string bytes;
    for (int byte = 0; byte < 120; ++byte)
        bytes += static_cast<char>(byte * 2 + 1);
    const Request request({{"HTTP_USER_AGENT", bytes}, {"HTTP_REFERER", "\x7f\xC2\x9B\n\""}});
    const auto line = format("json", request.entry);
    for (const char c : line)
        CHECK((c >= 0x20 && c < 0x7F));
    CHECK(nlohmann::json::parse(line)["referer"] == "\x7f\xC2\x9B\n\"");
}

TEST_CASE("access log: lines are appended to the file and reopening follows the name",
          "[access_log]")
{
    const TempDir dir;
    const Request request;
    AccessLog log("%(s)s", dir / "access.log");
    CHECK(log.enabled());
    log.write(request.entry);
    log.write(request.entry);
    CHECK(read_file(dir / "access.log") == "200\n200\n");

    std::filesystem::rename(dir / "access.log", dir / "access.log.1");
    AccessLog worker("%(s)s", dir / "access.log.1");
    CHECK(log.reopen().empty());
    worker.adopt(log.share());
    worker.write(request.entry);
    log.write(request.entry);
    CHECK(read_file(dir / "access.log") == "200\n200\n");
    CHECK(read_file(dir / "access.log.1") == "200\n200\n");
}

TEST_CASE("access log: without a file nothing is written and nothing is open", "[access_log]")
{
    const Request request;
    AccessLog log("default", "");
    CHECK_FALSE(log.enabled());
    log.write(request.entry);
    CHECK(log.descriptor() == -1);
    CHECK(log.reopen().empty());
    CHECK_FALSE(log.share());
}

TEST_CASE("access log: a file that cannot be opened is named", "[access_log]")
{
    const TempDir dir;
    CHECK_THROWS_AS(AccessLog("default", dir / "missing/access.log"), std::system_error);
}

TEST_CASE("access log: a full disk is told once and its end with the number of lost lines",
          "[access_log]")
{
    const TempDir dir;
    logging::open({dir / "error.log", false, logging::Level::info});
    const Request request;
    AccessLog log("%(s)s", "/dev/full");
    for (int i = 0; i < 3; ++i)
        log.write(request.entry);
    log.adopt(
        UniqueFd(::open((dir / "good").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)));
    log.write(request.entry);
    logging::open({});
    CHECK(read_file(dir / "good") == "200\n");
    const auto text = read_file(dir / "error.log");
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    CHECK(text.find("cannot write the access log (/dev/full): No space left") != text.npos);
    CHECK(text.find("works again; lines lost: 3") != text.npos);
}
