#include "handler/cgi/cgi.h"

#include "base/error.h"
#include "handler/cgi/relay.h"
#include "handler/refuse.h"

#include <cerrno>

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
    const auto script = resolver_.resolve(client.params());
    if (!script)
        return refuse(script.error().status, script.error().reason);
    const auto environment = build_environment(client.params(), script.value(), environment_);
    if (!environment)
        return refuse(environment.error().status, environment.error().reason);

    const bool body = !client.body_ended() || !client.body().empty();
    auto child = spawner_.spawn(script.value(), environment.value(), body);
    if (!child)
        return refuse(status_for(child.error()),
                      script.value().path + " cannot be run: " + errno_text(child.error()));
    return std::make_unique<Relay>(
        pool_, client, std::move(child.value()), script.value().path, now);
}

}  // namespace cgi
