// boot.h - the whole life of a worker process, from fork to exit.
// Errors   everything ends in an exit code: 0 retired, 3 could not boot, 4 its handler could not be
//          loaded, 1 failed later.
// Owner    the process that the Arbiter has just forked.
// Source   gunicorn arbiter.py spawn_worker(), the child's half.
#pragma once

#include "server/worker.h"

namespace server {

[[noreturn]] void run_worker(const WorkerSetup& setup) noexcept;

}  // namespace server
