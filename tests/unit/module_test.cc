// module_test.cc - requests in modules, whose entry points are functions of this file, and the
// loading of shared objects.
#include "base/error.h"
#include "handler/module.h"
#include "tests/catch.h"
#include "tests/unit/web_server.h"

#include <fcgiapp.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fcntl.h>

namespace {

using namespace std::chrono_literals;

const std::string get = wire::pair("REQUEST_METHOD", "GET") + wire::pair("REQUEST_URI", "/m?q") +
                        wire::pair("SCRIPT_NAME", "/m") + wire::pair("QUERY_STRING", "q");
const std::string post = wire::pair("REQUEST_METHOD", "POST");

config::Pool a_pool()
{
    config::Pool pool;
    pool.name = "www";
    pool.module = "/nowhere/test.so";
    return pool;
}

// One request, served by an entry point.
class Served : public WebServer {
public:
    Served(handler::ModuleEntry entry,
           const std::string& pairs,
           std::string_view body = {},
           config::Pool with = a_pool())
        : Served(entry, pairs, std::string(body), std::move(with), true)
    {
        finish();
    }

    static Served unfinished(handler::ModuleEntry entry,
                             const std::string& body_records,
                             config::Pool with)
    {
        return {entry, post, body_records, std::move(with), false};
    }

    // Runs the task to its end and takes what came.
    void finish()
    {
        std::vector<pollfd> set;
        while (!task->done()) {
            set.clear();
            const TimePoint until = task->prepare(set);
            ::poll(set.data(), set.size(), std::min(100, poll_timeout(until, Clock::now())));
            task->advance(set, Clock::now());
            arrived += take();
        }
        arrived += take();
        reply = wire::decode(arrived);
        text = reply.stream(wire::stdout_stream);
    }

    std::string take() const
    {
        std::string all;
        char buffer[4'096];
        for (;;) {
            const ssize_t got = ::recv(peer.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (got <= 0)
                return all;
            all.append(buffer, static_cast<std::size_t>(got));
        }
    }

    bool aborted() const { return !reply.broken.empty() && reply.protocol_status() == -1; }
    const handler::Outcome& outcome() const { return task->outcome(); }

    config::Pool pool;
    int beats = 0;
    handler::Module module;
    std::unique_ptr<handler::ModuleTask> task;
    std::string arrived;
    wire::Reply reply;
    std::string text;

private:
    Served(handler::ModuleEntry entry,
           const std::string& pairs,
           const std::string& body,
           config::Pool with,
           bool whole)
        : pool(std::move(with))
    {
        const auto alive = [this] {
            ++beats;
            return true;
        };
        module = {entry, {alive, -1}};
        begin(pairs, whole ? wire::stream(wire::stdin_stream, 1, body) : body);
        auto environment = cgi::build_environment(client->params(), cgi::Script(), {});
        REQUIRE(environment);
        task = std::make_unique<handler::ModuleTask>(
            pool, *client, module, std::move(environment.value()), Clock::now());
    }
};

}  // namespace

// --- replies ------------------------------------------------------------------------------------

TEST_CASE("module: a reply and its exit status reach the client", "[module]")
{
    const Served served(
        [](char** envp, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_FPrintF(
                out, "Content-Type: text/plain\n\nquery %s", FCGX_GetParam("QUERY_STRING", envp));
            return 3;
        },
        get);
    CHECK(served.reply.complete());
    CHECK(served.reply.app_status() == 3);
    CHECK(served.text.ends_with("\r\n\r\nquery q"));
    CHECK(served.outcome().status == 200);
    CHECK(served.outcome().body_bytes == 7);
    CHECK(served.outcome().script == "/nowhere/test.so");
    REQUIRE(served.outcome().exit);
    CHECK(served.outcome().exit->code == 3);
    CHECK(served.outcome().program_time);
    CHECK(served.beats == 0);  // nothing was read or written before the end
}

TEST_CASE("module: the exit status may be set through libfcgi", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Status: 404 Not Found\n\n", out);
            FCGX_SetExitStatus(9, out);
            return 0;
        },
        get);
    CHECK(served.reply.complete());
    CHECK(served.reply.app_status() == 9);
    CHECK(served.outcome().status == 404);
    CHECK(served.outcome().exit->code == 9);
}

TEST_CASE("module: a large body comes back whole while both sides are busy", "[module]")
{
    const std::string body(150'000, 'b');
    const Served served(
        [](char**, FCGX_Stream* in, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Type: text/plain\n\n", out);
            char buffer[1'000];
            for (int got = 1; got > 0;) {
                got = FCGX_GetStr(buffer, sizeof buffer, in);
                FCGX_PutStr(buffer, got, out);
            }
            return FCGX_GetError(in);
        },
        post,
        body);
    CHECK(served.reply.complete());
    CHECK(served.reply.app_status() == 0);
    CHECK((served.text.substr(served.text.find("\r\n\r\n") + 4) == body));
    CHECK(served.outcome().body_bytes == body.size());
    CHECK(served.beats > 0);
}

TEST_CASE("module: a body that the module does not read is no harm", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Status: 204\n\n", out);
            return 0;
        },
        post,
        std::string(100'000, 'b'));
    CHECK(served.reply.complete());
    CHECK(served.outcome().status == 204);
}

TEST_CASE("module: streams closed twice by the module are no harm", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream* in, FCGX_Stream* out, FCGX_Stream* err) {
            FCGX_PutS("Content-Type: a/b\n\nbody", out);
            for (FCGX_Stream* stream : {in, out, err, err, out, in})
                FCGX_FClose(stream);
            return 1;
        },
        post,
        "body");
    CHECK(served.reply.complete());
    CHECK(served.text.ends_with("\r\n\r\nbody"));
    CHECK(served.reply.app_status() == 0);  // what was known when out was closed
    CHECK(served.outcome().exit->code == 1);
}

TEST_CASE("module: a header without a body is a complete reply", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Location: http://example.org/\n\n", out);
            FCGX_FFlush(out);
            return 0;
        },
        get);
    CHECK(served.reply.complete());
    CHECK(served.outcome().status == 302);
}

// --- replies that are none ----------------------------------------------------------------------

TEST_CASE("module: no reply and garbage are a 502", "[module]")
{
    const Served silent([](char**, FCGX_Stream*, FCGX_Stream*, FCGX_Stream*) { return 0; }, get);
    CHECK(silent.reply.complete());
    CHECK(silent.text.starts_with("Status: 502"));
    CHECK(silent.outcome().status == 502);
    const Served garbage(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Type: a/b\nX-Evil: a\rb\n\nbody", out);
            return FCGX_FFlush(out) == -1 && FCGX_PutS("more", out) == -1 ? 0 : 1;
        },
        get);
    CHECK(garbage.reply.complete());
    CHECK(garbage.text.starts_with("Status: 502"));
    CHECK(garbage.text.find("Evil") == std::string::npos);
    CHECK(garbage.outcome().exit->code == 0);
    CHECK(garbage.outcome().status == 502);
}

TEST_CASE("module: a body shorter than its Content-Length is no complete reply", "[module]")
{
    const Served early(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Length: 10\n\nshort", out);
            return 0;
        },
        get);
    CHECK(early.text.starts_with("Status: 502"));
    const Served late(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Length: 10\n\nshort", out);
            FCGX_FFlush(out);
            return 0;
        },
        get);
    CHECK(late.aborted());
    const Served head(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Length: 10\n\n", out);
            return 0;
        },
        wire::pair("REQUEST_METHOD", "HEAD"));
    CHECK(head.reply.complete());
    CHECK(head.outcome().status == 200);
}

TEST_CASE("module: a body longer than its Content-Length is cut", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Length: 4\n\nfour and more", out);
            FCGX_FFlush(out);
            FCGX_PutS("and more", out);
            return 0;
        },
        get);
    CHECK(served.reply.complete());
    CHECK(served.text.ends_with("\r\n\r\nfour"));
    CHECK(served.outcome().body_bytes == 4);
}

// --- exceptions ---------------------------------------------------------------------------------

TEST_CASE("module: an exception before the header is a 500", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) -> int {
            FCGX_PutS("Content-Type: a/b\n\nsecret half", out);
            throw std::runtime_error("broken");
        },
        get);
    CHECK(served.reply.complete());
    CHECK(served.text.starts_with("Status: 500"));
    CHECK(served.text.find("secret") == std::string::npos);
    CHECK(served.outcome().status == 500);
}

TEST_CASE("module: an exception after the header makes the transfer fail", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) -> int {
            FCGX_PutS("Content-Type: a/b\n\nhalf", out);
            FCGX_FFlush(out);
            throw 42;
        },
        get);
    CHECK(served.aborted());
    CHECK(served.text.ends_with("half"));
    CHECK(served.outcome().status == 200);
}

TEST_CASE("module: an exception after the reply changes nothing for the client", "[module]")
{
    const Served served(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) -> int {
            FCGX_PutS("Content-Type: a/b\n\nwhole", out);
            FCGX_FClose(out);
            throw 42;
        },
        get);
    CHECK(served.reply.complete());
    CHECK(served.text.ends_with("whole"));
}

// --- the client and the clock -------------------------------------------------------------------

namespace {

// Reads all, then replies: what a module that does not look for errors does.
int read_and_reply(char**, FCGX_Stream* in, FCGX_Stream* out, FCGX_Stream*)
{
    while (FCGX_GetChar(in) != EOF)
        ;
    FCGX_PutS("Content-Type: a/b\n\nall is well", out);
    return 0;
}

}  // namespace

TEST_CASE("module: a body that stops coming is a 408", "[module]")
{
    config::Pool pool = a_pool();
    pool.body_timeout = 30ms;
    auto served =
        Served::unfinished(read_and_reply, wire::record(wire::stdin_stream, 1, "half"), pool);
    served.finish();
    CHECK(served.reply.complete());
    CHECK(served.text.starts_with("Status: 408"));
    CHECK(served.outcome().status == 408);
}

TEST_CASE("module: a body over max_body_size is a 413", "[module]")
{
    config::Pool pool = a_pool();
    pool.max_body_size = 5;
    const Served served(read_and_reply, post, "sixsix", pool);
    CHECK(served.text.starts_with("Status: 413"));
}

TEST_CASE("module: a request over request_timeout is a 504", "[module]")
{
    config::Pool pool = a_pool();
    pool.request_timeout = 30ms;
    auto served =
        Served::unfinished(read_and_reply, wire::record(wire::stdin_stream, 1, "half"), pool);
    served.finish();
    CHECK(served.text.starts_with("Status: 504"));
}

TEST_CASE("module: a client that leaves within the body is a 499", "[module]")
{
    auto served =
        Served::unfinished(read_and_reply, wire::record(wire::stdin_stream, 1, "half"), a_pool());
    ::shutdown(served.peer.get(), SHUT_WR);
    served.finish();
    CHECK(served.outcome().status == 499);
    CHECK(served.text.empty());
}

TEST_CASE("module: an aborted request is ended in order", "[module]")
{
    auto served = Served::unfinished(read_and_reply,
                                     wire::record(wire::stdin_stream, 1, "half") +
                                         wire::record(wire::abort_request, 1),
                                     a_pool());
    served.finish();
    CHECK(served.outcome().status == 499);
    CHECK(served.text.empty());
    CHECK(served.reply.complete());
}

TEST_CASE("module: a client that takes nothing costs the worker send_timeout", "[module]")
{
    config::Pool pool = a_pool();
    pool.send_timeout = 30ms;
    auto served = Served::unfinished(
        [](char**, FCGX_Stream*, FCGX_Stream* out, FCGX_Stream*) {
            FCGX_PutS("Content-Type: a/b\n\n", out);
            const std::string much(4 << 20, 'x');
            return FCGX_PutStr(much.data(), 4 << 20, out) == -1 ? 0 : 1;
        },
        wire::record(wire::stdin_stream, 1),
        pool);
    std::vector<pollfd> set;
    (void)served.task->prepare(set);
    served.task->advance(set, Clock::now());
    CHECK(served.task->done());
    CHECK(served.outcome().exit->code == 0);
}

TEST_CASE("module: a stop before the call is a 503", "[module]")
{
    auto served = Served::unfinished(read_and_reply, {}, a_pool());
    served.task->stop(Clock::now());
    served.finish();
    CHECK(served.text.starts_with("Status: 503"));
}

// --- loading ------------------------------------------------------------------------------------

namespace {

// What loading says; empty when it works.
std::string load_error(const std::string& module)
{
    config::Pool pool = a_pool();
    pool.module = module;
    try {
        const handler::ModuleHandler loaded(pool, {});
    } catch (const StartError& error) {
        CHECK(error.exit_code() == exit_handler_load);
        return error.what();
    }
    return {};
}

std::string test_module(const std::string& name)
{
    const char* const build = std::getenv("TRICORN_BUILDDIR");
    return std::string(build != nullptr ? build : ".") + "/tests/modules/" + name + ".so";
}

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("module: a file that cannot be loaded is named with the reason", "[module]")
{
    CHECK(contains(load_error("/nowhere/at/all.so"), "/nowhere/at/all.so"));
    CHECK(contains(load_error("/nowhere/at/all.so"), "No such file or directory"));
    CHECK(contains(load_error("no-path.so"), "No such file or directory"));
    CHECK(contains(load_error("/etc/passwd"), "/etc/passwd"));
}

TEST_CASE("module: an object without the entry point is refused by its name", "[module]")
{
    CHECK(contains(load_error(test_module("empty")), "tricorn_handle"));
}

TEST_CASE("module: an object that needs what nobody has is refused at start", "[module]")
{
    CHECK(contains(load_error(test_module("unresolved")), "symbol_that_nobody_has"));
}

TEST_CASE("module: tricorn_init may refuse to start", "[module]")
{
    CHECK(contains(load_error(test_module("init_fails")), "tricorn_init returned 7"));
}

TEST_CASE("module: tricorn_init runs before and tricorn_exit after all requests", "[module]")
{
    config::Pool pool = a_pool();
    pool.module = test_module("hooks");
    pool.env["GREETING"] = "from the pool";
    ::unsetenv("HOOKS_EXIT");
    WebServer web;
    {
        handler::ModuleHandler loaded(pool, {});
        web.begin(get, wire::record(wire::stdin_stream, 1));
        const auto task = loaded.start(*web.client, Clock::now());
        std::vector<pollfd> set;
        CHECK(task->prepare(set) <= Clock::now());
        REQUIRE(set.size() == 1);
        task->advance(set, Clock::now());
        CHECK(task->done());
        CHECK(std::getenv("HOOKS_EXIT") == nullptr);
    }
    CHECK(std::getenv("HOOKS_EXIT") != nullptr);
    const auto reply = wire::decode(web.receive());
    CHECK(reply.complete());
    const std::string text = reply.stream(wire::stdout_stream);
    CHECK(contains(text, "init 1\n"));
    CHECK(contains(text, "GREETING=from the pool\n"));
    CHECK(contains(text, "FCGI_ROLE=RESPONDER\n"));
    CHECK(contains(text, "SCRIPT_NAME=/m\n"));
    CHECK(contains(text, "GATEWAY_INTERFACE=CGI/1.1\n"));
}
