#include "tests/system/support/nginx.h"

#include "tests/system/support/address.h"

#include <algorithm>
#include <csignal>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

namespace {

std::string replace_all(std::string text, const std::string& from, const std::string& to)
{
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

// Its temporary files stay in its own directory.
const char* const configuration = R"(
@USER@
daemon off;
worker_processes 1;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log info;
events { worker_connections 512; }
http {
    access_log @DIR@/access.log;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    client_max_body_size 0;
    @HTTP@
    server {
        listen @LISTEN@ backlog=1024;
        server_name example.org;
        root @ROOT@;
        @LOCATIONS@
    }
}
)";

std::string trimmed(std::string text)
{
    text.erase(text.find_last_not_of(" \r\n") + 1);
    text.erase(0, text.find_first_not_of(' '));
    return text;
}

// The last block of headers that curl saw (there may be a 100 before it).
void parse_headers(HttpAnswer& answer, const std::string& text)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("HTTP/", 0) == 0)
            answer.headers.clear();
        const auto colon = line.find(':');
        if (colon == std::string::npos)
            continue;
        std::string name = line.substr(0, colon);
        std::transform(name.begin(), name.end(), name.begin(), ::tolower);
        answer.headers[name] = trimmed(line.substr(colon + 1));
    }
}

}  // namespace

bool has_program(const std::string& name)
{
    Command command;
    command.arguments = {"sh", "-c", "PATH=$PATH:/usr/sbin:/sbin command -v \"$0\"", name};
    return run(command).status == ExitStatus{0, 0};
}

std::string socket_for_nginx()
{
    return is_root() ? std::string("listen_group = ") + pool_user() + "\n" : "";
}

Nginx::Nginx(const Server& server, const std::string& locations, const std::string& http)
    : address_(free_address())
{
    std::string text = configuration;
    text = replace_all(text, "@LOCATIONS@", locations);
    text = replace_all(text, "@HTTP@", http);
    text = replace_all(text, "@USER@", is_root() ? std::string("user ") + pool_user() + ";" : "");
    text = replace_all(text, "@LISTEN@", address_);
    text = replace_all(text, "@ROOT@", server.root());
    text = replace_all(text, "@SOCKET@", server.socket());
    text = replace_all(text, "@PARAMS@", "include /etc/nginx/fastcgi_params;");
    text = replace_all(text, "@DIR@", directory_.path());
    give_to_pool(directory_.path());
    write_file(directory_ / "nginx.conf", text);
    Command command;
    command.arguments = {"nginx",
                         "-p",
                         directory_.path(),
                         "-e",
                         directory_ / "error.log",
                         "-c",
                         directory_ / "nginx.conf"};
    command.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}};
    command.err = directory_ / "stderr";
    process_.emplace(command);
    const bool up = wait_for([this] {
        const int fd = try_connect(address_);
        if (fd >= 0)
            ::close(fd);
        return fd >= 0 || !process_->running();
    });
    if (!up || !process_->running())
        throw std::runtime_error("nginx did not come up: " + error_log() +
                                 read_file(directory_ / "stderr"));
}

Nginx::~Nginx()
{
    process_->signal(SIGTERM);
    process_->wait(Milliseconds{3000});
}

std::string Nginx::error_log() const
{
    return read_file(directory_ / "error.log");
}

HttpAnswer curl(const std::string& url, std::vector<std::string> arguments, Milliseconds patience)
{
    const TempDir directory;
    const std::string head = directory / "head";
    const std::string body = directory / "body";
    Command command;
    command.arguments = {
        "curl", "-sS", "-D", head, "-o", body, "-w", "%{http_code} %{time_starttransfer}"};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    command.arguments.push_back(url);
    const Finished finished = run(std::move(command), patience);
    HttpAnswer answer;
    if (finished.status)
        answer.exit = finished.status->code;
    std::istringstream(finished.out) >> answer.status >> answer.first_byte;
    parse_headers(answer, read_file(head));
    answer.body = read_file(body);
    return answer;
}
