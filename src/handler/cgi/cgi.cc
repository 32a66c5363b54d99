#include "handler/cgi/cgi.h"

#include "base/error.h"
#include "base/text.h"
#include "handler/cgi/relay.h"
#include "handler/refuse.h"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include <unistd.h>

namespace cgi {

namespace {

ScriptRules script_rules(const config::Pool& pool)
{
    ScriptRules rules{
        pool.root, pool.script, pool.mount, pool.allowed_paths, pool.allowed_extensions};
    if (pool.owner_check)
        rules.owner = {::geteuid(), ::getegid()};
    return rules;
}

// The machine is out of something now and may have it again soon; or the program is at fault.
int status_for(int error)
{
    switch (error) {
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE: return 503;
    case E2BIG: return 431;  // one parameter is larger than an environment variable may be
    default: return 502;
    }
}

// The first line of a file that begins with "#!", without these.
std::string interpreter_of(int file)
{
    char text[256];
    const ssize_t size = ::pread(file, text, sizeof text, 2);
    const std::string_view line(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return std::string(line.substr(0, line.find('\n')));
}

// What execve(2) means by its errno: the file itself is there and may be executed.
std::string exec_failure(const Script& script, int error)
{
    if (error == ENOENT && script.interpreted && ::access(script.path.c_str(), F_OK) != 0)
        return "it has been moved or removed";
    if (error == ENOENT && script.interpreted)
        return "its interpreter is not there: " +
               text::in_quotes(interpreter_of(script.file.get()));
    if (error == ENOENT)
        return "the dynamic linker that it needs is not there";
    if (error == ENOEXEC)
        return "it has no #! line, and is no program for this machine";
    return errno_text(error);
}

}  // namespace

CgiHandler::CgiHandler(const config::Pool& pool)
    : pool_(pool), resolver_(script_rules(pool)), environment_{pool.env, pool.pass_authorization},
      spawner_(pool.rlimits)
{
}

std::unique_ptr<handler::Task> CgiHandler::start(fcgi::Connection& client, TimePoint now)
{
    const auto refuse = [&](int status, const std::string& reason) {
        return handler::refuse(pool_, client, status, reason, now);
    };
    if (auto refused = handler::check_limits(pool_, client, now))
        return refused;
    resolver_.follow_root();
    const auto script = resolver_.resolve(client.params());
    if (!script)
        return refuse(script.error().status, script.error().reason);
    const auto environment = build_environment(client.params(), script.value(), environment_);
    if (!environment)
        return refuse(environment.error().status, environment.error().reason);

    const bool body = !client.body_complete();
    auto child = spawner_.spawn(script.value(), environment.value(), body);
    if (!child)
        return refuse(status_for(child.error()),
                      script.value().path +
                          " cannot be run: " + exec_failure(script.value(), child.error()));
    return std::make_unique<Relay>(
        pool_, client, std::move(child.value()), script.value().path, now);
}

}  // namespace cgi
