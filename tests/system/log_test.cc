// log_test.cc - access log and error log: complete, parseable, not to be forged, reopened on USR1.
// Source   gunicorn glogging.py; CVE-2003-0020 (escapes), CVE-2024-9026 (log pollution);
//          sd-daemon(3).
#include "tests/catch.h"
#include "tests/system/support/server.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <regex>
#include <string>

#include <sys/stat.h>

#include <nlohmann/json.hpp>

namespace {

// A server with an access log, and waiting for lines in it.
struct Logged {
    Server server;

    explicit Logged(const std::string& pool = "")
        : server({.pool = pool + "access_log = " + place.path() + "/access\n"})
    {
    }

    std::string access() const { return read_file(place / "access"); }
    std::vector<std::string> wait_lines(std::size_t count) const
    {
        std::vector<std::string> lines;
        CHECK(wait_for([&] {
            lines.clear();
            std::istringstream text(access());
            for (std::string line; std::getline(text, line);)
                lines.push_back(line);
            return lines.size() >= count;
        }));
        lines.resize(std::max(lines.size(), count));
        return lines;
    }

private:
    static inline TempDir place;  // one test is one process
};

bool clean(const std::string& text)
{
    return std::all_of(text.begin(), text.end(), [](char c) {
        return c == '\n' || static_cast<unsigned char>(c) >= ' ';
    });
}

std::string log_line_with(const Server& server, const std::string& text)
{
    REQUIRE(server.wait_log(text));
    std::istringstream lines(server.log());
    for (std::string line; std::getline(lines, line);)
        if (line.find(text) != std::string::npos)
            return line;
    return {};
}

}  // namespace

TEST_CASE("access log: the default line tells everything about a request", "[log]")
{
    const Logged logged;
    Request request = logged.server.get("act", "text=hello&exit=3");
    request.set("REMOTE_USER", "alice");
    request.set("HTTP_REFERER", "http://example.org/from");
    logged.server.ask(request);
    const std::string line = logged.wait_lines(1)[0];
    CAPTURE(line);
    const std::regex shape("192\\.0\\.2\\.7 - alice \\[[^\\]]+\\] "
                           "\"GET /act\\?text=hello&exit=3 HTTP/1\\.1\" 200 5 "
                           "\"http://example\\.org/from\" \"system-test/1\" (.*/act) [0-9]+ 3");
    std::smatch match;
    REQUIRE(std::regex_match(line, match, shape));
    CHECK(match[1] == logged.server.root() + "/act");
}

TEST_CASE("access log: refused and failed requests are there with their status", "[log]")
{
    const Logged logged;
    logged.server.ask(logged.server.get("missing"));
    logged.server.act("exit=1");
    logged.server.act("kill=11");
    // Each worker writes when it is done with its request, so any order will do.
    std::string all;
    for (const std::string& line : logged.wait_lines(3))
        all += line + "\n";
    CHECK(std::regex_search(all, std::regex("/missing.*\" 404 ")));
    CHECK(std::regex_search(all, std::regex("exit=1 .*\" 502 .* 1\n")));
    CHECK(std::regex_search(all, std::regex("kill=11 .*\" 502 .* SIGSEGV\n")));
}

TEST_CASE("access log: a request whose client left is there as well", "[log]")
{
    const Logged logged;
    {
        FastcgiClient client(logged.server.address());
        client.send(logged.server.get("act", "sleep=600000").bytes());
        REQUIRE(wait_for([&] { return !logged.server.programs().empty(); }));
    }
    CHECK(logged.wait_lines(1)[0].find("/act?sleep=600000") != std::string::npos);
}

TEST_CASE("access log: a JSON line is JSON whatever the request says", "[log]")
{
    const Logged logged("access_log_format = json\n");
    Request request = logged.server.get("act", "text=hello");
    request.set("HTTP_USER_AGENT", "a \"quoted\" \\ agent\n\x01\xff");
    logged.server.ask(request);
    const std::string line = logged.wait_lines(1)[0];
    CHECK(clean(line));
    const auto json = nlohmann::json::parse(line);
    CHECK(json.at("status") == 200);
    CHECK(json.at("method") == "GET");
    CHECK(json.at("uri") == "/act?text=hello");
    CHECK(json.at("bytes") == 5);
    CHECK(json.at("pool") == "www");
    CHECK(json.at("script") == logged.server.root() + "/act");
    CHECK(json.at("exit") == 0);
    CHECK(json.at("signal").is_null());
    CHECK(json.at("user_agent").get<std::string>().rfind("a \"quoted\" \\ agent\n", 0) == 0);
}

TEST_CASE("access log: a format of atoms is followed", "[log]")
{
    const Logged logged("access_log_format = %(s)s %(m)s %(U)s %(q)s %({host}i)s %({x-made}o)s "
                        "%(pool)s %(exit)s 100%%\n");
    logged.server.act("out=" + encode("X-Made: here\n\nbody"));
    CHECK(std::regex_match(logged.wait_lines(1)[0],
                           std::regex("200 GET /act out=\\S+ example\\.org here www 0 100%")));
}

TEST_CASE("access log: control characters and quotes of a request cannot forge a line", "[log]")
{
    const Logged logged;
    Request request = logged.server.get("act", "text=x");
    request.set("REQUEST_URI", "/act\n192.0.2.66 - - forged\x1b[31m\x9b\x7f");
    request.set("HTTP_USER_AGENT", "\" 200 0 \"forged\" \\\r\n");
    request.set("REMOTE_USER", "eve] \"\n");
    logged.server.ask(request);
    logged.server.act("text=x");
    logged.wait_lines(2);
    const std::string text = logged.access();
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    CHECK(clean(text));
    CHECK(text.find("\"forged\"") == std::string::npos);
    CHECK(text.find('\x7f') == std::string::npos);
}

TEST_CASE("access log: lines of all workers are whole", "[log]")
{
    const Logged logged("workers = 4\n");
    std::vector<FastcgiClient> clients;
    const std::string padding(1000, 'u');
    for (int i = 0; i < 80; ++i) {
        clients.emplace_back(logged.server.address());
        clients.back().send(logged.server.get("act", "text=" + padding).bytes());
    }
    for (auto& client : clients)
        CHECK(client.read_reply().complete());
    const auto lines = logged.wait_lines(80);
    CHECK(lines.size() == 80);
    for (const auto& line : lines)
        CHECK(line.find("?text=" + padding + " HTTP/1.1\" 200 1000 ") != std::string::npos);
}

TEST_CASE("logs: USR1 opens renamed logs anew in the arbiter and in every worker", "[log]")
{
    const TempDir place;
    const std::string access = place / "access";
    const std::string error = place / "error";
    const Server server({.pool = "workers = 2\naccess_log = " + access + "\n",
                         .global = "error_log = " + error + "\n"});
    REQUIRE(server.serves());
    std::filesystem::rename(access, access + ".1");
    std::filesystem::rename(error, error + ".1");
    server.signal(SIGUSR1);
    REQUIRE(wait_for([&] { return exists(access) && exists(error); }));
    CHECK(wait_for([&] {
        server.act("err=into-the-new-one%0a&text=x");
        return read_file(error).find("into-the-new-one") != std::string::npos &&
               read_file(access).find("into-the-new-one") != std::string::npos;
    }));
    // The old files get nothing any more, whichever worker serves: both do.
    const std::string request = server.get("act", "err=again%0a&sleep=300&text=x").bytes();
    const auto size = [&] {
        return read_file(access + ".1").size() + read_file(error + ".1").size();
    };
    CHECK(wait_for([&] {
        const auto before = size();
        FastcgiClient one(server.address());
        FastcgiClient other(server.address());
        REQUIRE(one.send(request));
        REQUIRE(other.send(request));
        CHECK(one.read_reply().complete());
        CHECK(other.read_reply().complete());
        return size() == before;
    }));
    CHECK(server.workers().size() == 2);
}

TEST_CASE("error log: a line has time and process and level", "[log]")
{
    const Server server;
    REQUIRE(server.serves());
    std::istringstream lines(server.log());
    const std::regex shape(
        "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} [+-]\\d{4} \\[\\d+\\] "
        "(debug|info|warning|error|critical): .+");
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK(std::regex_match(line, shape));
    }
}

TEST_CASE("error log: log_level decides what is written", "[log]")
{
    const Server quiet({.global = "log_level = error\n"});
    REQUIRE(quiet.serves());
    CHECK(quiet.log().empty());
    const Server loud({.global = "log_level = debug\n"});
    CHECK(loud.wait_log(" debug: "));
}

TEST_CASE("error log: a line of a program's stderr is whole and says where it comes from", "[log]")
{
    const Server server;
    const Reply reply = server.act("plain&process&err=one%20&sleep=30&err=line%0asecond");
    const std::string line = log_line_with(server, "one line");
    CHECK(line.find("www") != std::string::npos);
    CHECK(line.find("act") != std::string::npos);
    CHECK(line.find(entry(reply.body(), "pid")) != std::string::npos);
    CHECK(line.find("second") == std::string::npos);
    CHECK(server.wait_log("second"));
}

TEST_CASE("error log: control characters of a program's stderr are escaped", "[log]")
{
    const Server server;
    server.act("err=" + encode("\x1b]0;owned\x07 \r\x01 nul:" + std::string(1, '\0') + " end\n") +
               "&text=x");
    const std::string line = log_line_with(server, "owned");
    CHECK(line.find("end") != std::string::npos);
    CHECK(clean(server.log()));
}

TEST_CASE("error log: a stderr line of 100 KB is bounded and nothing of it is lost", "[log]")
{
    const Server server;
    server.act("errfill=102400&err=%0alast%0a&text=x");
    REQUIRE(server.wait_log("last"));
    std::istringstream lines(server.log());
    std::size_t filling = 0;
    for (std::string line; std::getline(lines, line);) {
        CHECK(line.size() < 70000);
        const std::size_t begin = line.find("eeee");
        if (begin != std::string::npos)
            filling += line.find_last_of('e') + 1 - begin;
    }
    CHECK(filling == 102400);
}

TEST_CASE("error log: lines of two programs at once are not mixed", "[log]")
{
    const Server server;
    std::vector<FastcgiClient> clients;
    for (const auto* letter : {"A", "B"}) {
        std::string steps = "plain";
        for (int i = 0; i < 20; ++i)
            steps +=
                std::string("&err=") + letter + letter + "&sleep=2&err=" + letter + letter + "%0a";
        clients.emplace_back(server.address());
        clients.back().send(server.get("act", steps).bytes());
    }
    for (auto& client : clients)
        CHECK(client.read_reply().complete());
    for (const std::string whole : {"AAAA", "BBBB"}) {
        const std::string log = server.log();
        int count = 0;
        for (auto at = log.find(whole); at != std::string::npos; at = log.find(whole, at + 4))
            ++count;
        CHECK(count == 20);
    }
}

TEST_CASE("error log: stderr after the end of the reply is not lost", "[log]")
{
    const Server server;
    server.act("text=x&close=1&sleep=100&err=afterwards%0a");
    CHECK(server.wait_log("afterwards"));
}

TEST_CASE("error log: script_stderr decides between the log and the web server", "[log]")
{
    const Server web({.pool = "script_stderr = web\n"});
    const Reply reply = web.act("err=to-the-web%0a&text=x");
    REQUIRE(reply.complete());
    CHECK(reply.err.find("to-the-web") != std::string::npos);
    CHECK(reply.body() == "x");
    CHECK(web.log().find("to-the-web") == std::string::npos);
    const Server both({.pool = "script_stderr = both\n"});
    CHECK(both.act("err=to-both%0a&text=x").err.find("to-both") != std::string::npos);
    CHECK(both.wait_log("to-both"));
}

TEST_CASE("error log: lines for the journal begin with their priority", "[log]")
{
    Server server;
    REQUIRE(server.stop(SIGTERM) == ExitStatus{0, 0});
    struct stat status {};
    REQUIRE(::stat((server.directory() / "log").c_str(), &status) == 0);
    std::filesystem::resize_file(server.directory() / "log", 0);
    server.start(
        {.environment = {{"JOURNAL_STREAM",
                          std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino)}}});
    server.act("kill=11");
    REQUIRE(server.wait_log("SIGSEGV"));
    std::istringstream lines(server.log());
    for (std::string line; std::getline(lines, line);)
        CHECK(std::regex_match(line, std::regex("<[2-7]>[^0-9].*")));
}
