#include "server/privileges.h"

#include "base/error.h"
#include "log/log.h"

#include <cerrno>
#include <ctime>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace server {

namespace {

// A module has no process of its own that they could be for.
void limit_resources(const config::Pool& pool)
{
    for (const config::ResourceLimit& wanted : config::resource_limits) {
        const auto& value = pool.rlimits.*wanted.value;
        if (!value)
            continue;
        const rlimit limit{*value, *value};
        if (::setrlimit(wanted.resource, &limit) != 0)
            throw_errno(wanted.key);
    }
}

void change_root(const std::string& directory)
{
    ::tzset();  // log lines need the time zone, which is outside
    if (::chroot(directory.c_str()) != 0)
        throw_errno("chroot to " + directory);
    // A working directory outside would be a way out.
    if (::chdir("/") != 0)
        throw_errno("the root directory of the chroot " + directory);
}

void set_nice(int nice, bool root)
{
    errno = 0;
    const int present = ::getpriority(PRIO_PROCESS, 0);
    if (!root && errno == 0 && nice < present)
        return;
    if (::setpriority(PRIO_PROCESS, 0, nice) != 0)
        throw_errno("nice " + std::to_string(nice) +
                    (errno == EACCES ? " (this needs the capability CAP_SYS_NICE)" : ""));
}

}  // namespace

std::optional<Identity> identity_of(const config::Pool& pool)
{
    if (::geteuid() != 0 || (pool.user.empty() && pool.group.empty()))
        return std::nullopt;
    return find_identity(pool.user, pool.group);
}

void drop_privileges(const config::Pool& pool, const std::optional<Identity>& identity)
{
    const bool root = ::geteuid() == 0;
    if (pool.handler == config::HandlerKind::module)
        limit_resources(pool);
    if (root && !pool.chroot.empty())
        change_root(pool.chroot);
    if (!pool.chdir.empty() && ::chdir(pool.chdir.c_str()) != 0)
        throw_errno("chdir to " + pool.chdir);
    ::umask(pool.umask);
    if (pool.nice)
        set_nice(*pool.nice, root);
    if (identity)
        become(*identity);
    if (pool.no_new_privs && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        throw_errno("no_new_privs");
    // Programs of the same user may not look into their worker. A module is inside; the change of
    // user has taken the core dumps away that its pool may ask for.
    const bool dumps =
        pool.handler == config::HandlerKind::module && pool.rlimits.core.value_or(0) > 0;
    if (::prctl(PR_SET_DUMPABLE, dumps ? 1 : 0, 0, 0, 0) != 0)
        throw_errno("core dumps");
}

}  // namespace server
