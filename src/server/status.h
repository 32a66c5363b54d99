// status.h - what the arbiter can tell of its pools, for tricornctl(1).
// Units    as in control/reply.h.
// Errors   none: what cannot be found out is 0.
// Owner    the Arbiter has one History and asks for the rest when somebody wants to know.
// Source   php-fpm's status page; what a worker says is copied by its Slot and never believed.
#pragma once

#include "control/reply.h"
#include "server/crew.h"
#include "server/service.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace server {

// What is left of workers that have ended. Pools that a reload takes away stay in it: their names
// are few.
class History {
public:
    void worker_ended(const CrewMember& worker, const ExitStatus& status);
    void add_to(control::PoolStatus& pool) const;

private:
    struct Past {
        std::uint64_t requests = 0;
        std::vector<control::WorkerExit> exits;
    };
    std::map<std::string, Past> pools_;
};

// `removed`: pools without a configuration whose workers still finish requests.
std::vector<control::PoolStatus> pools_status(const Services& services,
                                              const Services& removed,
                                              const Crew& crew,
                                              const History& history);

}  // namespace server
