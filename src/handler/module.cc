#include "handler/module.h"

#include "base/error.h"
#include "handler/cgi/script.h"
#include "handler/refuse.h"

#include <utility>

#include <dlfcn.h>

namespace handler {

namespace {

using InitHook = int (*)();

[[noreturn]] void refuse_module(const std::string& path, const std::string& reason)
{
    // The loader mostly names the file itself.
    const bool named = reason.find(path) != std::string::npos;
    throw StartError(exit_handler_load, "module " + (named ? reason : path + ": " + reason));
}

std::string loader_error()
{
    const char* const text = ::dlerror();
    return text != nullptr ? text : "unknown error";
}

// A bare name would be searched for in the system's library directories.
std::string loadable(const std::string& path)
{
    return path.find('/') == std::string::npos ? "./" + path : path;
}

template <class Function>
Function symbol(void* library, const char* name)
{
    return reinterpret_cast<Function>(::dlsym(library, name));
}

// A module is no script: the names of the request stay as the web server sent them, unless the
// pool says where the module is mounted.
Result<cgi::Script, cgi::Refusal> script_of(const config::Pool& pool, const fcgi::Params& params)
{
    cgi::Script script;
    script.path = cgi::without_proxy(params.get("SCRIPT_FILENAME"));
    if (script.path.empty())
        script.path = pool.module;
    script.name = params.get("SCRIPT_NAME");
    script.path_info = params.get("PATH_INFO");
    std::string_view mount = pool.mount;
    while (mount.ends_with('/'))
        mount.remove_suffix(1);
    if (mount.empty())
        return script;
    const std::string uri = script.name + script.path_info;
    const auto rest = cgi::beneath_mount(mount, uri);
    if (!rest)
        return cgi::Refusal{404, "the path " + uri + " is not beneath the mount " + pool.mount};
    script.name = mount;
    script.path_info = *rest;
    return script;
}

}  // namespace

ModuleHandler::ModuleHandler(const config::Pool& pool, Lifeline worker)
    : pool_(pool), rules_{pool.env, pool.pass_authorization}
{
    module_.worker = std::move(worker);
    // libfcgi tells its programs the role, and some of them ask.
    rules_.env.emplace("FCGI_ROLE", "RESPONDER");
    void* const library = ::dlopen(loadable(pool.module).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        refuse_module(pool.module, loader_error());
    module_.handle = symbol<ModuleEntry>(library, "tricorn_handle");
    if (module_.handle == nullptr)
        refuse_module(pool.module, loader_error());
    if (const auto init = symbol<InitHook>(library, "tricorn_init")) {
        const int result = init();
        if (result != 0)
            refuse_module(pool.module, "tricorn_init returned " + std::to_string(result));
    }
    exit_ = symbol<void (*)()>(library, "tricorn_exit");
}

ModuleHandler::~ModuleHandler()
{
    if (exit_ != nullptr)
        exit_();
}

std::unique_ptr<Task> ModuleHandler::start(fcgi::Connection& client, TimePoint now)
{
    if (auto refused = check_limits(pool_, client, now))
        return refused;
    const auto script = script_of(pool_, client.params());
    if (!script)
        return refuse(pool_, client, script.error().status, script.error().reason, now);
    auto environment = cgi::build_environment(client.params(), script.value(), rules_);
    if (!environment)
        return refuse(pool_, client, environment.error().status, environment.error().reason, now);
    return std::make_unique<ModuleTask>(
        pool_, client, module_, std::move(environment.value()), now);
}

}  // namespace handler
