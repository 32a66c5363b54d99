// module.h - handler = module: calls a function of a shared object for each request, in the worker.
// Units    durations are the pool's, in milliseconds.
// Errors   the constructor throws StartError(exit_handler_load) with the loader's words: the worker
//          cannot boot. What goes wrong in a request becomes a reply (408, 413, 500, 502, 504) as
//          long as the header is not out, an aborted transfer after that, and a line in the log. A
//          module that crashes takes its worker with it.
// Owner    the worker. A module stays loaded until the process ends.
// Source   tricorn_module(3); libfcgi's FCGX_Accept loop, whose body an entry point is.
#pragma once

#include "handler/cgi/environment.h"
#include "handler/handler.h"
#include "handler/module_task.h"

#include <memory>

namespace handler {

class ModuleHandler : public Handler {
public:
    // The pool outlives the handler.
    ModuleHandler(const config::Pool& pool, Lifeline worker);
    // Calls tricorn_exit.
    ~ModuleHandler() override;

    std::unique_ptr<Task> start(fcgi::Connection& client, TimePoint now) override;

private:
    const config::Pool& pool_;
    cgi::EnvironmentRules rules_;
    Module module_;
    void (*exit_)() = nullptr;
};

}  // namespace handler
