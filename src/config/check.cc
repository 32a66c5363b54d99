#include "config/check.h"

#include "base/error.h"
#include "base/process.h"
#include "base/text.h"
#include "config/check_places.h"
#include "config/check_privileges.h"
#include "config/inside.h"
#include "log/access_log.h"
#include "net/address.h"
#include "net/peers.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace config {
namespace {

// TCP, or else a Unix socket. A name that is to be resolved and an inherited socket may be either.
bool may_listen_on(const Pool& pool, bool tcp)
{
    return std::ranges::any_of(pool.bind, [tcp](const std::string& bind) {
        const auto address = net::Address::parse(bind, net::Address::Names::refuse);
        return !address || address.value().kind == net::Address::Kind::inherited_fd ||
               address.value().is_tcp() == tcp;
    });
}

class Checker {
public:
    Checker(Draft& draft, bool root) : draft_(draft), root_(root) {}

    void check_global();
    void check_processes();
    void check_control();
    void check_pool(const Pool& pool);

private:
    void check_cgi(const Pool& pool);
    void check_module(const Pool& pool);
    void check_root(const Pool& pool);
    void check_file(const Pool& pool, std::string_view key, const std::string& path, mode_t bits);
    void check_lookup(const Pool& pool);
    void check_bind(const Pool& pool);
    void check_peers(const Pool& pool);
    void check_owner(const Pool& pool);
    void check_user(const Pool& pool);
    void check_rlimits(const Pool& pool);
    void check_scaling(const Pool& pool);
    void check_access_log(const Pool& pool);
    // Which of them a pool's workers will be in; empty: none.
    const std::string& chroot(const Pool& pool) const { return root_ ? pool.chroot : none_; }
    std::optional<Identity> find(const Pool& pool,
                                 std::string_view user_key,
                                 const std::string& user,
                                 std::string_view group_key,
                                 const std::string& group);

    Origin origin(const Pool& pool, std::string_view key) const;
    Origin origin(const Pool& pool, std::string_view key, std::size_t word) const;
    void problem(const Pool& pool, std::string_view key, const std::string& text);
    void missing(const Pool& pool, const std::string& text);
    void warning(const Pool& pool, std::string_view key, const std::string& text);
    void warn_of_place(const Origin& origin, std::string_view key, const std::string& text);
    void check_global_place(std::string_view key, const std::string& wrong);

    Draft& draft_;
    bool root_;
    const std::string none_;
    std::map<std::string, std::string> addresses_;  // normalised: where it was bound first
};

// Where the value of a key was given, else where the pool begins.
Origin Checker::origin(const Pool& pool, std::string_view key) const
{
    auto found = draft_.origins.find({pool.name, std::string(key)});
    if (found == draft_.origins.end())
        found = draft_.origins.find({pool.name, ""});
    return found == draft_.origins.end() ? Origin{"pool " + pool.name, 0} : found->second.back();
}

// The same for one of several values.
Origin Checker::origin(const Pool& pool, std::string_view key, std::size_t word) const
{
    const auto found = draft_.origins.find({pool.name, std::string(key)});
    return found != draft_.origins.end() && word < found->second.size() ? found->second[word]
                                                                        : origin(pool, key);
}

void Checker::problem(const Pool& pool, std::string_view key, const std::string& text)
{
    draft_.problems.push_back({origin(pool, key), std::string(key) + ": " + text});
}

void Checker::missing(const Pool& pool, const std::string& text)
{
    draft_.problems.push_back({origin(pool, ""), "[" + pool.name + "]: " + text});
}

void Checker::warning(const Pool& pool, std::string_view key, const std::string& text)
{
    draft_.warnings.push_back(origin(pool, key).text() + ": " + std::string(key) + ": " + text);
}

void Checker::warn_of_place(const Origin& origin, std::string_view key, const std::string& text)
{
    if (!text.empty())
        draft_.warnings.push_back(origin.text() + ": " + std::string(key) + ": " + text);
}

void Checker::check_global_place(std::string_view key, const std::string& wrong)
{
    const auto origins = draft_.origins.find({"global", std::string(key)});
    if (origins != draft_.origins.end())
        warn_of_place(origins->second.back(), key, wrong);
}

void Checker::check_global()
{
    const Global& global = draft_.config.global;
    if (global.error_log.starts_with('/'))
        check_global_place("error_log", wrong_log(global.error_log));
    if (!global.pid.empty())
        check_global_place("pid", wrong_pid_file(global.pid));
    if (global.error_log == "syslog")
        draft_.problems.push_back({draft_.origins[{"global", "error_log"}].back(),
                                   "error_log: syslog is no file: write log_syslog = yes"});
    if (global.error_log.empty())
        draft_.problems.push_back({draft_.origins[{"global", "error_log"}].back(),
                                   "error_log: a file is missing: write - for standard error"});
    check_control();
}

void Checker::check_control()
{
    const std::string& path = draft_.config.global.control;
    const auto origin = draft_.origins.find({"global", "control"});
    if (path.empty() || path == "auto" || origin == draft_.origins.end())
        return;
    const Origin& where = origin->second.back();
    const auto address = net::Address::parse("unix:" + path);
    check_global_place("control", wrong_socket(path));
    if (address)
        addresses_[address.value().text] = "the control socket, " + where.text();
    else
        draft_.problems.push_back({where, "control: " + address.error()});
}

// A server that may never have the workers that it starts with would never be ready.
void Checker::check_processes()
{
    const int most = draft_.config.global.max_processes;
    int wanted = 0;
    for (const Pool& pool : draft_.config.pools) {
        if (pool.scaling == Scaling::fixed)
            wanted += pool.workers;
        else if (pool.scaling == Scaling::dynamic)
            wanted += std::max(start_workers(pool), std::min(pool.min_spare, pool.workers));
    }
    if (most > 0 && most < wanted)
        draft_.problems.push_back({draft_.origins[{"global", "max_processes"}].back(),
                                   "max_processes: " + std::to_string(most) + " is less than the " +
                                       std::to_string(wanted) +
                                       " workers that the pools start with"});
}

void Checker::check_pool(const Pool& pool)
{
    if (pool.handler == HandlerKind::module)
        check_module(pool);
    else
        check_cgi(pool);
    check_lookup(pool);
    check_bind(pool);
    check_peers(pool);
    check_owner(pool);
    check_user(pool);
    check_privileges(
        pool,
        root_,
        [&](std::string_view key, const std::string& text) { problem(pool, key, text); },
        [&](std::string_view key, const std::string& text) { warning(pool, key, text); });
    check_rlimits(pool);
    check_scaling(pool);
    check_access_log(pool);
}

void Checker::check_cgi(const Pool& pool)
{
    if (!pool.module.empty())
        problem(pool, "module", "needs handler = module");
    else if (pool.root.empty() && pool.script.empty())
        missing(pool, "has no programs: set root to their directory, or script to one program");
    if (!pool.root.empty() && !pool.script.empty())
        problem(pool, "script", "root is set too: keep one of the two");
    if (!pool.root.empty())
        check_root(pool);
    if (!pool.script.empty())
        check_file(pool, "script", pool.script, 0111);
}

void Checker::check_module(const Pool& pool)
{
    if (pool.module.empty())
        missing(pool, "has no module: set module to a shared object");
    else
        check_file(pool, "module", pool.module, 0444);
    if (!pool.root.empty())
        problem(pool, "root", "is for handler = cgi: remove it");
    if (pool.owner_check)
        problem(pool, "owner_check", "is for handler = cgi: remove it");
    if (!pool.script.empty())
        problem(pool, "script", "is for handler = cgi: remove it");
}

void Checker::check_root(const Pool& pool)
{
    const std::string name = where(chroot(pool), pool.root);
    struct stat status {};
    if (!stat_inside(chroot(pool), pool.root, status))
        problem(pool, "root", name + ": " + errno_text(errno) + ": name a directory");
    else if (!S_ISDIR(status.st_mode))
        problem(pool, "root", name + " is not a directory: for one program use script");
    else if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0)
        problem(pool,
                "root",
                name + " can be written by everybody, who could put programs there: chmod o-w it");
}

void Checker::check_file(const Pool& pool,
                         std::string_view key,
                         const std::string& path,
                         mode_t bits)
{
    const std::string name = where(chroot(pool), path);
    struct stat status {};
    if (!stat_inside(chroot(pool), path, status))
        problem(pool, key, name + ": " + errno_text(errno) + ": name a file");
    else if (!S_ISREG(status.st_mode))
        problem(pool, key, name + " is not a regular file");
    else if ((status.st_mode & bits) == 0)
        problem(pool,
                key,
                name + (bits == 0111 ? " is not executable: chmod +x it"
                                     : " is not readable: chmod +r it"));
}

// What steers how a request finds its program.
void Checker::check_lookup(const Pool& pool)
{
    if (!pool.mount.empty() && pool.mount.front() != '/')
        problem(
            pool, "mount", text::in_quotes(pool.mount) + " lacks its first /, such as /cgi-bin");
    for (const std::string& extension : pool.allowed_extensions)
        if (extension.size() < 2 || extension.front() != '.' ||
            extension.find('/') != std::string::npos)
            problem(pool,
                    "allowed_extensions",
                    text::in_quotes(extension) +
                        " is not an extension: write it with its point, .cgi");
    for (const std::string& pattern : pool.allowed_paths)
        if (pattern.front() != '/')
            problem(pool,
                    "allowed_paths",
                    text::in_quotes(pattern) + " matches no program: patterns are of whole paths, "
                                               "such as /srv/cgi/*.cgi");
}

void Checker::check_bind(const Pool& pool)
{
    if (pool.bind.empty())
        missing(pool,
                "listens nowhere: set bind, such as unix:/run/tricorn/" + pool.name + ".sock");
    for (std::size_t i = 0; i < pool.bind.size(); ++i) {
        const Origin where = origin(pool, "bind", i);
        const auto address = net::Address::parse(pool.bind[i]);
        if (!address) {
            draft_.problems.push_back({where, "bind: " + address.error()});
            continue;
        }
        if (!address.value().path.empty())
            warn_of_place(where, "bind", wrong_socket(address.value().path));
        const auto [earlier, first] =
            addresses_.try_emplace(address.value().text, "pool " + pool.name + ", " + where.text());
        if (!first)
            draft_.problems.push_back({where,
                                       "bind: " + pool.bind[i] + " is already bound by " +
                                           earlier->second + ": each address goes to one pool"});
    }
}

void Checker::check_peers(const Pool& pool)
{
    for (std::size_t i = 0; i < pool.allowed_clients.size(); ++i)
        if (const auto network = net::Network::parse(pool.allowed_clients[i]); !network)
            draft_.problems.push_back(
                {origin(pool, "allowed_clients", i), "allowed_clients: " + network.error()});
    for (std::size_t i = 0; i < pool.allowed_users.size(); ++i)
        if (const auto user = net::parse_user(pool.allowed_users[i]); !user)
            draft_.problems.push_back(
                {origin(pool, "allowed_users", i), "allowed_users: " + user.error()});
    if (!pool.allowed_clients.empty() && !may_listen_on(pool, true))
        warning(pool,
                "allowed_clients",
                "bind names no TCP address: it has an effect only on TCP sockets from systemd");
    if (!pool.allowed_users.empty() && !may_listen_on(pool, false))
        warning(pool,
                "allowed_users",
                "bind names no Unix socket: it has an effect only on Unix sockets from systemd");
}

// Looks users up; a failure is reported at the key that is to blame.
std::optional<Identity> Checker::find(const Pool& pool,
                                      std::string_view user_key,
                                      const std::string& user,
                                      std::string_view group_key,
                                      const std::string& group)
{
    const auto look_up = [&](std::string_view key, const std::string& a, const std::string& b) {
        try {
            return std::optional(find_identity(a, b));
        } catch (const StartError& error) {
            // Its text names the general key, which may not be the one that was written.
            const std::string text = error.what();
            problem(pool, key, text.substr(std::min(text.find(": ") + 2, text.size())));
            return std::optional<Identity>();
        }
    };
    auto by_user = look_up(user_key, user, "");
    const auto by_group = look_up(group_key, "", group);
    if (!by_user || !by_group)
        return std::nullopt;
    if (!group.empty())
        by_user->gid = by_group->gid;
    return by_user;
}

void Checker::check_owner(const Pool& pool)
{
    find(pool, "listen_owner", pool.listen_owner, "listen_group", pool.listen_group);
}

void Checker::check_user(const Pool& pool)
{
    if (!root_)
        return;
    const auto identity = find(pool, "user", pool.user, "group", pool.group);
    if (!identity || draft_.config.global.allow_root)
        return;
    static constexpr const char* allow = ", or allow root by allow_root = yes (--allow-root)";
    if (identity->uid == 0 && pool.user.empty())
        missing(pool, std::string("would run as root: set user (--user)") + allow);
    else if (identity->uid == 0)
        problem(pool, "user", pool.user + " is root: name another user" + allow);
    else if (identity->gid == 0)
        problem(pool, "group", std::string("would be root's: name another group") + allow);
}

// Programs set their limits when they have the pool's user, who cannot raise a hard one: each
// request would fail.
void Checker::check_rlimits(const Pool& pool)
{
    for (const ResourceLimit& limit : resource_limits) {
        rlimit now{};
        const auto& wanted = pool.rlimits.*limit.value;
        if (wanted && ::getrlimit(limit.resource, &now) == 0 && *wanted > now.rlim_max)
            problem(pool,
                    limit.key,
                    "is above the hard limit that the server was started with: at most " +
                        std::to_string(now.rlim_max));
    }
}

// The spare workers and the number that there may be have to make sense together.
void Checker::check_scaling(const Pool& pool)
{
    if (pool.scaling != Scaling::dynamic)
        return;
    const auto at_most = [](int value) { return ": at most " + std::to_string(value); };
    if (pool.min_spare > pool.max_spare)
        problem(pool, "min_spare", "is above max_spare" + at_most(pool.max_spare));
    if (pool.min_spare > pool.workers)
        problem(pool, "min_spare", "is above workers" + at_most(pool.workers));
    if (pool.start_workers > pool.workers)
        problem(pool, "start_workers", "is above workers" + at_most(pool.workers));
}

void Checker::check_access_log(const Pool& pool)
{
    if (draft_.config.global.daemon && pool.access_log == "-")
        warning(pool,
                "access_log",
                "a daemon has no standard output, so this log is lost: name a file, or syslog");
    if (pool.access_log.starts_with('/'))
        warn_of_place(origin(pool, "access_log"), "access_log", wrong_log(pool.access_log));
    if (const auto wrong = AccessLog::check_format(pool.access_log_format))
        problem(pool, "access_log_format", *wrong);
}

}  // namespace

void check(Draft& draft, const Invocation& invocation, const std::string& file)
{
    Checker checker(draft, invocation.root);
    checker.check_global();
    for (const Pool& pool : draft.config.pools)
        checker.check_pool(pool);
    checker.check_processes();
    if (!draft.config.pools.empty() || !draft.problems.empty())
        return;
    std::string text = "no pool is defined: add a section [NAME] with root and bind";
    for (const std::string& warning : draft.warnings)  // an include that found nothing, say
        text += "; " + warning;
    draft.problems.push_back({{file, 0}, text});
}

}  // namespace config
