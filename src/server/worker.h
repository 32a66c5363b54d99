// worker.h - what all worker classes share: becoming a worker, and being one.
// Units    none.
// Errors   init_process() throws; run_worker() turns that into an exit code: 4 when the handler
//          cannot be loaded, 3 for anything else.
// Owner    run_worker(); lives in the forked process only.
// Source   gunicorn workers/base.py, init_process().
#pragma once

#include "base/process.h"
#include "base/signals.h"
#include "base/throttle.h"
#include "base/unique_fd.h"
#include "config/settings.h"
#include "handler/handler.h"
#include "log/access_log.h"
#include "net/listener.h"
#include "net/peers.h"
#include "server/scoreboard.h"

#include <memory>
#include <optional>
#include <vector>

namespace server {

// What the arbiter hands to a worker that it forks. References live in the child's copy.
struct WorkerSetup {
    const config::Pool& pool;
    const std::vector<std::shared_ptr<net::Listener>>& listeners;
    AccessLog& access_log;
    Slot& slot;
    std::optional<Identity> identity;  // to become; empty: stay as we are
    pid_t arbiter = 0;
    int channel = -1;     // from the arbiter
    int wakeup = -1;      // eventfd of the arbiter: look at the scoreboard
    bool daemon = false;  // let go of stdin, stdout and stderr
};

class Worker {
public:
    explicit Worker(const WorkerSetup& setup);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    virtual ~Worker() = default;

    void init_process();
    // Serves until retired.
    virtual void run() = 0;

protected:
    // What the class needs for run() and may not get: the arbiter retires old workers when it hears
    // that this one has booted.
    virtual void prepare() = 0;

    // Reports to the arbiter that this worker is not stuck.
    void notify(TimePoint now) { setup_.slot.beat(now); }
    bool parent_alive() const;
    // How long the worker may sleep without a beat.
    Duration longest_wait() const;

    // False, and a line in the log, when whoever has connected may not.
    bool admits(int connection, bool tcp);

    // Deals with the signals and messages that wait.
    void take_signals();
    void take_messages();

    // The request has been served: access log, scoreboard, recycling.
    void request_served(const handler::Outcome& outcome,
                        const fcgi::Params& params,
                        TimePoint started);

    // There is news in the slot that the arbiter acts on.
    void wake_arbiter() const;

    const config::Pool& pool() const { return setup_.pool; }

    WorkerSetup setup_;
    std::unique_ptr<SignalQueue> signals_;
    std::unique_ptr<handler::Handler> handler_;
    std::vector<net::Listener> last_;  // given up: whoever waits there is for the retiring workers
    bool asking_ = false;              // has asked to be replaced, and waits for the answer
    bool retiring_ = false;            // accept nothing any more, finish what is there
    bool stopping_ = false;            // end what is there, too

private:
    void close_what_is_not_ours() const;
    void ask_to_go();

    net::Peers peers_;
    Throttle strangers_;
    std::uint64_t served_ = 0;
    std::uint64_t max_requests_ = 0;  // with jitter; 0: no limit
};

}  // namespace server
