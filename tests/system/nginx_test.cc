// nginx_test.cc - end to end: curl, a real nginx, the server, real programs.
// Source   nginx's fastcgi module; nginx-tests fastcgi_keepalive.t, fastcgi_variables.t.
#include "tests/catch.h"
#include "tests/system/support/nginx.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <random>
#include <string>
#include <thread>

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): a skip has to return from the test itself
#define NEEDS_NGINX                                                                                \
    if (!has_program("nginx") || !has_program("curl"))                                             \
    SKIP_TEST("nginx or curl is not installed")

const char* const plain_location = R"(
    location / {
        @PARAMS@
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_pass unix:@SOCKET@;
    })";

const char* const unbuffered_location = R"(
    location / {
        @PARAMS@
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_buffering off;
        fastcgi_request_buffering off;
        fastcgi_pass unix:@SOCKET@;
    })";

const char* const kept_upstream = "upstream kept { server unix:@SOCKET@; keepalive 8; }";
const char* const kept_location = R"(
    location / {
        @PARAMS@
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_keep_conn on;
        fastcgi_pass kept;
    })";

std::string md5_of(const std::string& path)
{
    Command command;
    command.arguments = {"md5sum", path};
    return run(command).out.substr(0, 32);
}

void random_file(const TempDir& directory, std::size_t size)
{
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same bytes in each run
    std::string bytes(size, '\0');
    for (auto& byte : bytes)
        byte = static_cast<char>(random());
    write_file(directory / "upload", bytes);
}

// `parallel` curls with `each` requests each; the bodies that are not right.
int wrong_answers(const Nginx& nginx, int parallel, int each)
{
    std::atomic<int> wrong = 0;
    std::vector<std::thread> clients;
    for (int c = 0; c < parallel; ++c)
        clients.emplace_back([&, c] {
            std::vector<std::string> command{"curl", "-sS"};
            std::string expected;
            for (int i = 0; i < each; ++i) {
                const std::string text = "answer" + std::to_string(c * each + i) + ".";
                command.push_back(nginx.url("/act?text=" + encode(text)));
                expected += text;
            }
            Command request;
            request.arguments = command;
            if (run(request, Milliseconds{100'000}).out != expected)
                ++wrong;
        });
    for (auto& client : clients)
        client.join();
    return wrong;
}

}  // namespace

TEST_CASE("nginx: a GET and a POST pass through with headers and status", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    const Nginx nginx(server, plain_location);
    const HttpAnswer get =
        curl(nginx.url("/act?out=" + encode("Status: 404 Not Found\nX-A: b\n\nlost")));
    CHECK(get.status == 404);
    CHECK(get.headers.at("x-a") == "b");
    CHECK(get.body == "lost");
    CHECK(curl(nginx.url("/act?plain&echo"), {"--data-binary", "posted"}).body == "posted");
    CHECK(curl(nginx.url("/missing")).status == 404);
}

TEST_CASE("nginx: a megabyte that the program never reads is answered with 200", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    const TempDir directory;
    random_file(directory, 1 << 20);
    for (const auto* location : {plain_location, unbuffered_location}) {
        const Nginx nginx(server, location);
        for (int i = 0; i < 5; ++i) {
            const HttpAnswer answer =
                curl(nginx.url("/act?text=unread"), {"--data-binary", "@" + directory / "upload"});
            CHECK(answer.status == 200);
            CHECK(answer.body == "unread");
        }
    }
}

TEST_CASE("nginx: a chunked upload arrives whole and unbuffered", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    const Nginx nginx(server, unbuffered_location);
    const TempDir directory;
    random_file(directory, 3000000);
    // nginx sends no more of a body once it has seen a reply: the program reads it to the end
    // first.
    server.add_program("sum.sh", "#!/bin/sh\nsum=$(md5sum)\nprintf 'A: b\\n\\n%s' \"$sum\"\n");
    const HttpAnswer answer =
        curl(nginx.url("/sum.sh"),
             {"-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-T", directory / "upload"});
    CHECK(answer.exit == 0);
    CHECK(answer.body.substr(0, 32) == md5_of(directory / "upload"));
}

TEST_CASE("nginx: output streams through unbuffered", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    const Nginx nginx(server, unbuffered_location);
    const std::string steps = "plain&out=first&sleep=5000&out=last";
    const HttpAnswer answer = curl(nginx.url("/act?" + steps));
    CHECK(answer.body == "firstlast");
    CHECK(answer.first_byte < 4);
}

TEST_CASE("nginx: a reply that is cut off is an error for the browser", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    for (const auto* location : {plain_location, unbuffered_location}) {
        const Nginx nginx(server, location);
        const HttpAnswer answer = curl(nginx.url("/act?plain&fill=200000&sleep=100&kill=11"));
        CHECK(answer.status == 200);
        CHECK(answer.exit > 0);
    }
}

TEST_CASE("nginx: kept connections serve 400 requests of 8 clients", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = "workers = 4\n" + socket_for_nginx()});
    const Nginx nginx(server, kept_location, kept_upstream);
    CHECK(wrong_answers(nginx, 8, 50) == 0);
}

TEST_CASE("nginx: reloads with kept connections under load lose no request", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = "workers = 3\n" + socket_for_nginx()});
    const Nginx nginx(server, kept_location, kept_upstream);
    std::atomic<bool> over = false;
    std::thread reloads([&] {
        while (!over) {
            server.signal(SIGHUP);
            pause_for(Milliseconds{150});
        }
    });
    const int wrong = wrong_answers(nginx, 4, 60);
    over = true;
    reloads.join();
    CHECK(wrong == 0);
    CHECK(server.wait_log("configuration reloaded"));
}

TEST_CASE("nginx: when the browser leaves the silent program is ended", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    const Nginx nginx(server, plain_location);
    curl(nginx.url("/act?sleep=600000"), {"--max-time", "0.5"});
    CHECK(wait_for([&] { return server.programs().empty(); }, Milliseconds{5000}));
    CHECK(server.serves());
}

TEST_CASE("nginx: PATH_INFO is split by nginx or by the server", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = socket_for_nginx()});
    const Nginx nginx(server, R"(
    location /split/ {
        rewrite ^/split(/.*)$ $1 break;
        fastcgi_split_path_info ^(/act)(/.*)$;
        @PARAMS@
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param PATH_INFO $fastcgi_path_info;
        fastcgi_pass unix:@SOCKET@;
    }
    location / {
        @PARAMS@
        fastcgi_pass unix:@SOCKET@;
    })");
    for (const auto* prefix : {"/split/act", "/act"}) {
        const std::string body =
            curl(nginx.url(prefix + std::string("/some/where%20else?plain&env"))).body;
        CHECK(entry(body, "SCRIPT_NAME") == "/act");
        CHECK(entry(body, "PATH_INFO") == "/some/where else");
    }
}

TEST_CASE("nginx: a program over its time is 504 and the answer is ours", "[nginx]")
{
    NEEDS_NGINX;
    const Server server({.pool = "request_timeout = 300ms\n" + socket_for_nginx()});
    const Nginx nginx(server, plain_location);
    CHECK(curl(nginx.url("/act?sleep=600000")).status == 504);
}

TEST_CASE("nginx: a form with a file reaches CGI.pm", "[nginx]")
{
    NEEDS_NGINX;
    Command probe;
    probe.arguments = {"perl", "-MCGI", "-e", "1"};
    if (run(probe).status != ExitStatus{0, 0})
        SKIP_TEST("CGI.pm is not installed");
    const Server server({.pool = socket_for_nginx()});
    const Nginx nginx(server, plain_location);
    const TempDir directory;
    random_file(directory, 300000);
    const HttpAnswer answer = curl(nginx.url("/upload.pl"),
                                   {"-F", "title=A title", "-F", "file=@" + directory / "upload"});
    CHECK(answer.status == 200);
    CHECK(answer.body == "A title " + md5_of(directory / "upload") + "\n");
}
