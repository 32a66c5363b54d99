// refuse.h - answering with an error instead of serving.
// Units    sizes in bytes.
// Errors   none.
// Owner    the worker owns the Task.
// Source   nginx's client_max_body_size for 413, RFC 6585 for 431.
#pragma once

#include "handler/handler.h"

#include <memory>
#include <string>

namespace handler {

// The Task that sends the error; the reason is logged.
std::unique_ptr<Task> refuse(const config::Pool& pool,
                             fcgi::Connection& client,
                             int status,
                             const std::string& reason,
                             TimePoint now);

// What no handler should have to see: parameters or a declared body over the pool's limits.
// The Task that refuses it; empty when the request may be served.
std::unique_ptr<Task> check_limits(const config::Pool& pool,
                                   fcgi::Connection& client,
                                   TimePoint now);

}  // namespace handler
