// cgi.h - handler = cgi: runs a program for each request.
// Errors   the constructor throws when the root cannot be opened: the worker cannot boot.
// Owner    the worker.
// Source   RFC 3875.
#pragma once

#include "handler/cgi/child.h"
#include "handler/cgi/environment.h"
#include "handler/cgi/script.h"
#include "handler/handler.h"

#include <memory>

namespace cgi {

class CgiHandler : public handler::Handler {
public:
    // The pool outlives the handler.
    explicit CgiHandler(const config::Pool& pool);

    std::unique_ptr<handler::Task> start(fcgi::Connection& client, TimePoint now) override;

private:
    const config::Pool& pool_;
    Resolver resolver_;
    EnvironmentRules environment_;
    Spawner spawner_;
};

}  // namespace cgi
