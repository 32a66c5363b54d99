// privileges.h - a process becomes what its pool says: limits, root directory, user; no way back.
// Units    none.
// Errors   throws std::system_error that names the step; the process may have gone half of the way
//          and must end.
// Owner    Worker::init_process(), run_once().
// Source   the order is that of php-fpm's children; chroot(2), setpriority(2), prctl(2).
#pragma once

#include "base/process.h"
#include "config/settings.h"

#include <optional>

namespace server {

// Whom the pool's workers become; nullopt: they stay who they are. Throws StartError for a user
// that there is not.
std::optional<Identity> identity_of(const config::Pool& pool);

// `identity`: whom to become; empty: nobody else. What only root can do is left out for everybody
// else, who was warned when the configuration was checked.
void drop_privileges(const config::Pool& pool, const std::optional<Identity>& identity);

}  // namespace server
