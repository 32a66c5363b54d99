// control_protocol_test.cc - requests and replies of the control socket, and how they are shown.
#include "control/reply.h"
#include "control/request.h"
#include "ctl/show.h"
#include "tests/catch.h"

#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

using Catch::Matchers::Contains;
using control::Command;
using control::parse_request;

using namespace std::string_literals;

namespace {

std::string mistake(std::string_view line)
{
    const auto request = parse_request(line);
    return request ? "" : request.error();
}

// What a client may send, and a worker that is not to be trusted may write.
const auto hostile = "GET /\x1b]0;title\x07\"\\</script>\xff\xc3(\xc2\x9b\r\n\0x\x7f"s;

control::Reply hostile_reply()
{
    control::WorkerStatus worker;
    worker.pid = 7;
    worker.state = "busy";
    worker.requests = UINT64_MAX;
    worker.request = worker.script = hostile;
    control::PoolStatus pool;
    pool.name = "www";
    pool.workers = {worker};
    pool.exits = {{"2026-11-22T10:11:12Z", 6, hostile, false}};
    control::ServerStatus server;
    server.reload_error = hostile;
    server.pools = {pool};
    control::Reply reply;
    reply.status = server;
    return reply;
}

bool printable(const std::string& text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

TEST_CASE("control: each command is read with its arguments", "[control]")
{
    CHECK(parse_request("status").value().command == Command::status);
    CHECK(parse_request(" reload\t").value().command == Command::reload);
    const auto more = parse_request("scale www +2");
    REQUIRE(more);
    CHECK(more.value().command == Command::scale);
    CHECK(more.value().pool == "www");
    CHECK(more.value().count == 2);
    CHECK(more.value().relative);
    CHECK(parse_request("scale www -3").value().count == -3);
    CHECK_FALSE(parse_request("scale www 3").value().relative);
    CHECK(parse_request("kill 4711").value().pid == 4711);
}

TEST_CASE("control: a request that makes no sense is refused with the reason", "[control]")
{
    CHECK(mistake("") == "no command was given");
    CHECK_THAT(mistake("restart"), Contains("\"restart\" is no command") && Contains(" reload "));
    CHECK_THAT(mistake("status all"), Contains("wrong number of arguments: status would be right"));
    CHECK_THAT(mistake("scale www"), Contains("scale POOL N would be right"));
    CHECK_THAT(mistake("scale www 1 2"), Contains("scale POOL N would be right"));
    CHECK_THAT(mistake(std::string("sta\0tus", 7)), Contains("control characters"));
    CHECK_THAT(mistake("status\r"), Contains("control characters"));
    for (const char* count : {"0", "+0", "-0", "+", "-", "two", "1.5", "4097", "++1", "-+1", "--1"})
        CHECK_THAT(mistake("scale www " + std::string(count)), Contains("scale: "));
    for (const char* pid : {"0", "-1", "1x", "99999999999"})
        CHECK_THAT(mistake("kill " + std::string(pid)), Contains("kill: "));
}

TEST_CASE("control: a reply of hostile bytes is one line of valid JSON in ASCII", "[control]")
{
    const std::string document = control::write_reply(hostile_reply());
    REQUIRE(document.ends_with('\n'));
    CHECK(printable(document.substr(0, document.size() - 1)));
    const auto json = nlohmann::json::parse(document, nullptr, false);
    REQUIRE(json.is_object());
    const std::string request = json["status"]["pools"][0]["workers"][0]["request"];
    CHECK(request.starts_with("GET /\x1b]0;title\x07\"\\</script>"));
}

TEST_CASE("control: what is read is what was written", "[control]")
{
    control::Reply reply = hostile_reply();
    control::PoolStatus& pool = reply.status->pools[0];
    pool.listeners = {"unix:/run/a", "127.0.0.1:9000"};
    pool.retry = 2;
    pool.settled = true;
    reply.status->state = "reloading";
    reply.status->reloads = 3;
    reply.status->successor = 8;
    reply.status->successor_ready = true;
    reply.message = "done";
    reply.control = "";
    const auto read = control::read_reply(control::write_reply(reply));
    REQUIRE(read);
    CHECK(read->ok);
    CHECK(read->message == "done");
    CHECK(read->control == "");
    REQUIRE(read->status);
    CHECK(read->status->state == "reloading");
    CHECK(read->status->reloads == 3);
    CHECK(read->status->successor == 8);
    CHECK(read->status->successor_ready);
    REQUIRE(read->status->pools.size() == 1);
    const control::PoolStatus& again = read->status->pools[0];
    CHECK(again.listeners == pool.listeners);
    CHECK(again.settled);
    CHECK(again.retry == 2);
    REQUIRE(again.workers.size() == 1);
    CHECK(again.workers[0].requests == UINT64_MAX);
    CHECK(again.exits.at(0).pid == 6);
    // The second time there is nothing left to replace.
    CHECK(control::write_reply(*read) == control::write_reply(reply));
}

TEST_CASE("control: a server that tells of no upgrade is told from one that has none", "[control]")
{
    const auto read = [](const char* text) { return control::read_reply(text)->status->successor; };
    CHECK(read("{\"ok\":true,\"status\":{}}") == -1);
    CHECK(read("{\"ok\":true,\"status\":{\"successor\":0}}") == 0);
}

TEST_CASE("control: a refusal carries its reason and nothing else", "[control]")
{
    CHECK(control::write_reply(control::refusal("no \"x\"")) ==
          "{\"error\":\"no \\\"x\\\"\",\"ok\":false}\n");
}

TEST_CASE("control: what is no reply is not taken for one", "[control]")
{
    for (const char* text : {"",
                             "[]",
                             "{}",
                             "hello",
                             "{\"ok\":1}",
                             "{\"ok\":true",
                             "{\"ok\":true,\"status\":7}",
                             "{\"ok\":true,\"status\":{\"pid\":\"x\"}}",
                             "{\"ok\":true,\"status\":{\"pools\":[1]}}"}) {
        INFO(text);
        CHECK_FALSE(control::read_reply(text));
    }
    CHECK(control::read_reply("{\"ok\":true,\"new\":{}}"));
}

TEST_CASE("control: no control character of a request reaches the terminal", "[control]")
{
    const auto reply = hostile_reply();
    for (const std::string& text : {ctl::show_status(*reply.status),
                                    ctl::show_workers(*reply.status),
                                    ctl::show_lines(hostile)}) {
        std::string line = text;
        line.erase(std::remove(line.begin(), line.end(), '\n'), line.end());
        CHECK(printable(line));
        CHECK_THAT(text, Contains("GET /\\x1B]0;title\\x07"));
    }
}

TEST_CASE("control: pools and workers are shown in columns", "[control]")
{
    control::PoolStatus pool;
    pool.name = "www";
    pool.handler = "cgi";
    pool.scaling = "static";
    pool.target = pool.limit = pool.total = 12;
    pool.listeners = {"unix:/run/a", "127.0.0.1:9000"};
    pool.queue = 3;
    pool.queue_size = 2048;
    control::WorkerStatus worker;
    worker.pid = 4711;
    worker.state = "retiring";
    worker.current = false;
    worker.age = 3661;
    worker.memory = 3 << 20;
    pool.workers = {worker};
    control::ServerStatus server;
    server.pools = {pool};
    CHECK(ctl::show_pools(server) ==
          "POOL  HANDLER  SCALING  TARGET  LIMIT  IDLE  BUSY  TOTAL  FULL   QUEUE  REQUESTS  "
          "LISTENERS\n"
          "www   cgi      static       12     12     0     0     12     0  3/2048         0  "
          "unix:/run/a 127.0.0.1:9000\n");
    server.pools[0].queue = -1;
    CHECK_THAT(ctl::show_pools(server), Catch::Matchers::Contains("     0      -         0  "));
    CHECK(ctl::show_workers(server) ==
          " PID  POOL  STATE            AGE  REQUESTS  MEMORY  ELAPSED  REQUEST\n"
          "4711  www   retiring, old  1h01m         0    3.0M        -  -\n");
}
