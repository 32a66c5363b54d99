#include "server/boot.h"

#include "base/error.h"
#include "log/log.h"
#include "server/sync_worker.h"

#include <exception>

#include <unistd.h>

namespace server {

namespace {

int serve(const WorkerSetup& setup)
{
    bool booted = false;
    try {
        SyncWorker worker(setup);
        worker.init_process();
        booted = true;
        worker.run();
        return exit_ok;
    } catch (const StartError& error) {
        logging::critical("[%s] %s", setup.pool.name.c_str(), error.what());
        return error.exit_code() == exit_handler_load ? exit_handler_load : exit_worker_boot;
    } catch (const std::exception& error) {
        logging::critical("[%s] %s", setup.pool.name.c_str(), error.what());
        return booted ? exit_failure : exit_worker_boot;
    }
}

}  // namespace

void run_worker(const WorkerSetup& setup) noexcept
{
    // Not exit(3): what the arbiter has registered to be cleaned up is the arbiter's.
    ::_exit(serve(setup));
}

}  // namespace server
