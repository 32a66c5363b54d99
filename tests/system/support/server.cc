#include "tests/system/support/server.h"

#include "tests/catch.h"
#include "tests/system/support/address.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

namespace {

std::string from_environment(const char* name, const char* absent)
{
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return value == nullptr ? absent : value;
}

std::string key_of(const std::string& line)
{
    const auto end = line.find_first_of(" =");
    return line.substr(0, end);
}

// The defaults of a section, without those that the lines set themselves. "key =" takes one out.
std::string section(const std::vector<std::string>& defaults, const std::string& lines)
{
    std::set<std::string> given;
    std::string kept;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) {
        given.insert(key_of(line));
        if (!line.ends_with(" ="))
            kept += line + "\n";
    }
    std::string text;
    for (const auto& line : defaults)
        if (given.count(key_of(line)) == 0)
            text += line + "\n";
    return text + kept;
}

void install_programs(const std::string& root)
{
    std::filesystem::create_directory(root);
    for (const auto& file : std::filesystem::directory_iterator(source_file("tests/data/cgi")))
        if (file.path().extension() != ".cc")
            write_file(root + "/" + file.path().filename().string(), read_file(file.path()), 0755);
    write_file(root + "/act", read_file(build_file("tests/data/cgi/act")), 0755);
}

// That it is ready is an info line on its stderr, unless the log goes elsewhere, is terse or is for
// the journal.
bool logs_here(const Setup& setup)
{
    for (const auto* elsewhere : {"error_log =", "log_syslog =", "log_level = error"})
        if (setup.global.find(elsewhere) != std::string::npos)
            return false;
    return !setup.descriptors.contains(STDERR_FILENO) &&
           !setup.environment.contains("JOURNAL_STREAM");
}

std::vector<pid_t> titled_children(pid_t arbiter, const char* title)
{
    auto all = children_of(arbiter);
    std::erase_if(all,
                  [title](pid_t pid) { return !alive(pid) || !title_of(pid).starts_with(title); });
    return all;
}

}  // namespace

bool is_sanitized()
{
    const std::string program = read_file(binary());
    return count_of(program, "__asan_init") + count_of(program, "__tsan_init") > 0;
}

std::string binary()
{
    return from_environment("TRICORN", "./tricorn");
}

std::string source_file(const std::string& name)
{
    return from_environment("TRICORN_SRCDIR", ".") + "/" + name;
}

std::string build_file(const std::string& name)
{
    return from_environment("TRICORN_BUILDDIR", ".") + "/" + name;
}

std::string public_file(const std::string& name)
{
    static const TempDir directory;
    std::string path = directory / std::filesystem::path(name).filename().string();
    if (!exists(path))
        write_file(path, read_file(build_file(name)), 0755);
    return path;
}

std::string encode(std::string_view bytes)
{
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const auto value = static_cast<unsigned char>(c);
        if (std::isalnum(value) != 0)
            text += c;
        else
            text += {'%', digits[value >> 4], digits[value & 15]};
    }
    return text;
}

Finished tricorn(std::vector<std::string> arguments, std::map<std::string, std::string> environment)
{
    arguments.insert(arguments.begin(), binary());
    Command command;
    command.arguments = std::move(arguments);
    command.environment = std::move(environment);
    return run(std::move(command));
}

std::vector<pid_t> workers_of(pid_t arbiter)
{
    return titled_children(arbiter, "tricorn: worker");
}

std::vector<pid_t> hook_commands_of(pid_t arbiter)
{
    return titled_children(arbiter, "tricorn: on_");
}

SlowModule::SlowModule()
{
    give_to_pool(place.path());
}

std::string SlowModule::pool() const
{
    return "handler = module\nmodule = " + public_file("tests/modules/init_waits.so") + "\n";
}

void SlowModule::release() const
{
    write_file(go, "");
}

Command failing(const std::string& calls,
                const std::string& how,
                const std::vector<std::string>& arguments)
{
    Command command;
    command.arguments = {"strace", "-f", "-o", "/dev/null", "-e", "trace=" + calls};
    command.arguments.insert(command.arguments.end(),
                             {"-e", "inject=" + calls + ":" + how, binary()});
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    return command;
}

Command activated(const std::string& path, const std::vector<std::string>& arguments)
{
    Command command;
    command.arguments = {"systemd-socket-activate", "-l", path, binary()};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    return command;
}

Server::Server(const Setup& setup)
{
    install_programs(root());
    give_to_pool(root());
    give_to_pool(directory_.path());
    configure(setup);
    launch(setup);
}

std::string Server::configuration_text(const Setup& setup) const
{
    std::vector<std::string> defaults{"handler = cgi",
                                      "root = " + root(),
                                      "bind = " + address(),
                                      "workers = 2",
                                      "graceful_timeout = 5s",
                                      "kill_grace = 300ms"};
    if (is_root())
        defaults.push_back(std::string("user = ") + pool_user());
    // One program or a module stands in the place of the directory of programs.
    if (("\n" + setup.pool).find("\nscript = ") != std::string::npos ||
        ("\n" + setup.pool).find("\nmodule = ") != std::string::npos)
        std::erase(defaults, "root = " + root());
    return "[global]\n" + section({"log_level = info", "control ="}, setup.global) + "[www]\n" +
           section(defaults, setup.pool) + setup.more;
}

void Server::configure(const Setup& setup)
{
    write_file(configuration(), configuration_text(setup));
}

void Server::start(const Setup& setup)
{
    process_.reset();
    launch(setup);
}

void Server::launch(const Setup& setup)
{
    Command command;
    command.arguments = {binary(), "-c", configuration()};
    command.arguments.insert(
        command.arguments.end(), setup.arguments.begin(), setup.arguments.end());
    command.environment = setup.environment;
    command.limits = setup.limits;
    command.descriptors = setup.descriptors;
    command.out = directory_ / "stdout";
    command.err = directory_ / "log";
    process_.emplace(command);
    if (!setup.wait)
        return;
    const bool up = wait_for([this] {
        const int fd = try_connect(address());
        if (fd >= 0)
            ::close(fd);
        return fd >= 0 || !process_->running();
    });
    if (!up || !process_->running()) {
        socket_stays_ = true;
        throw std::runtime_error("the server did not come up:\n" + log());
    }
    // Its workers boot later than that, as do other pools.
    if (logs_here(setup))
        REQUIRE(wait_log("[" + std::to_string(pid()) + "] info: ready"));
}

Server::~Server()
{
    if (process_->running()) {
        CHECK(stop(SIGINT) == ExitStatus{0, 0});
        process_->kill();
    }
    check_nothing_left();
    kill_adopted();
}

void Server::check_nothing_left()
{
    CHECK(wait_for([] { return adopted().empty(); }, Milliseconds{3000}));
    for (const pid_t pid : adopted())
        CHECK(std::to_string(pid) + " " + title_of(pid) == "");
    if (!socket_stays_)
        CHECK_FALSE(exists(socket()));
    const std::string text = log();
    CHECK(text.find("Sanitizer") == std::string::npos);
    CHECK(text.find("runtime error:") == std::string::npos);
}

std::optional<ExitStatus> Server::stop(int signo, Milliseconds patience)
{
    signal(signo);
    return process_->wait(patience);
}

Request Server::get(const std::string& script, const std::string& query) const
{
    const std::string uri = "/" + script;
    Request request;
    request.params = {{"QUERY_STRING", query},
                      {"REQUEST_METHOD", "GET"},
                      {"CONTENT_TYPE", ""},
                      {"CONTENT_LENGTH", ""},
                      {"SCRIPT_FILENAME", root() + uri},
                      {"SCRIPT_NAME", uri},
                      {"REQUEST_URI", query.empty() ? uri : uri + "?" + query},
                      {"DOCUMENT_URI", uri},
                      {"DOCUMENT_ROOT", root()},
                      {"SERVER_PROTOCOL", "HTTP/1.1"},
                      {"REQUEST_SCHEME", "http"},
                      {"GATEWAY_INTERFACE", "CGI/1.1"},
                      {"SERVER_SOFTWARE", "nginx/1.22.1"},
                      {"REMOTE_ADDR", "192.0.2.7"},
                      {"REMOTE_PORT", "51234"},
                      {"SERVER_ADDR", "192.0.2.1"},
                      {"SERVER_PORT", "80"},
                      {"SERVER_NAME", "example.org"},
                      {"REDIRECT_STATUS", "200"},
                      {"HTTP_HOST", "example.org"},
                      {"HTTP_USER_AGENT", "system-test/1"}};
    return request;
}

Request Server::post(const std::string& script, const std::string& query, std::string body) const
{
    Request request = get(script, query);
    request.set("REQUEST_METHOD", "POST");
    request.set("CONTENT_TYPE", "application/octet-stream");
    request.set("CONTENT_LENGTH", std::to_string(body.size()));
    request.body = std::move(body);
    return request;
}

Reply Server::ask(const Request& request, Milliseconds patience) const
{
    return ::ask(address(), request, patience);
}

bool Server::serves_at(const std::string& address) const
{
    const Reply reply = ::ask(address, get("act", "text=alive"));
    return reply.complete() && reply.status() == 200 && reply.body() == "alive";
}

std::string Server::add_program(const std::string& name, std::string_view text, mode_t mode) const
{
    std::string path = root() + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, text, mode);
    return path;
}

std::vector<pid_t> Server::workers() const
{
    std::vector<pid_t> alive_workers;
    for (const pid_t worker : children_of(pid()))
        if (alive(worker))
            alive_workers.push_back(worker);
    return alive_workers;
}

pid_t Server::worker() const
{
    std::vector<pid_t> all;
    if (!wait_for([&] { return !(all = workers()).empty(); }))
        throw std::runtime_error("the server has no worker:\n" + log());
    return all[0];
}

bool Server::wait_workers(std::size_t count, Milliseconds patience) const
{
    return wait_for([&] { return workers().size() == count; }, patience);
}

std::vector<pid_t> Server::programs() const
{
    std::vector<pid_t> found;
    for (const pid_t worker : workers())
        for (const pid_t program : descendants_of(worker))
            if (alive(program))
                found.push_back(program);
    return found;
}

std::string Server::log() const
{
    return read_file(directory_ / "log");
}

bool Server::wait_log(std::string_view text, Milliseconds patience) const
{
    return wait_for([&] { return log().find(text) != std::string::npos; }, patience);
}
