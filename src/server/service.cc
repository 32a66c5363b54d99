#include "server/service.h"

#include "base/error.h"
#include "base/text.h"
#include "log/log.h"
#include "net/notify.h"
#include "server/privileges.h"

#include <algorithm>

#include <sys/stat.h>

namespace server {

namespace {

const std::string handed_mark = "@";

PoolPolicy policy_of(const config::Pool& pool)
{
    PoolPolicy policy;
    policy.scaling = pool.scaling;
    policy.workers = pool.workers;
    policy.min_spare = std::min(pool.min_spare, pool.workers);
    policy.max_spare = pool.max_spare;
    policy.start_workers = config::start_workers(pool);
    policy.max_spawn_rate = pool.max_spawn_rate;
    policy.idle_timeout = pool.idle_timeout;
    policy.max_age = pool.max_worker_age;
    policy.max_memory = pool.max_worker_memory;
    policy.recycle_share = pool.recycle_share;
    policy.rolling = pool.reload == config::Replacement::rolling;
    policy.graceful_timeout = pool.graceful_timeout;
    return policy;
}

SharedListener find_listener(const std::vector<SharedListener>& open, const net::Address& address)
{
    for (const SharedListener& listener : open)
        if (listener->address() == address && listener->reachable())
            return listener;
    return nullptr;
}

// One that the kernel does not let the address listen beside: with the same port, and one of the
// two is every address of the machine.
SharedListener find_overlap(const std::vector<SharedListener>& open, const net::Address& address)
{
    const auto port = [](const std::string& tcp) { return tcp.substr(tcp.rfind(':')); };
    for (const SharedListener& listener : open) {
        const net::Address& ours = listener->address();
        if (ours.is_tcp() && ours.kind == address.kind && ours != address &&
            port(listener->bound()) == port(address.text) &&
            (ours.is_wildcard() || address.is_wildcard()))
            return listener;
    }
    return nullptr;
}

net::ListenOptions options_of(const config::Pool& pool)
{
    net::ListenOptions options;
    options.backlog = pool.backlog;
    options.mode = pool.listen_mode;
    options.owner = pool.listen_owner;
    options.group = pool.listen_group;
    return options;
}

SharedListener open_listener(const config::Pool& pool,
                             const std::string& bind,
                             const std::vector<SharedListener>& before,
                             std::vector<SharedListener>& opened)
{
    const auto address = net::Address::parse(bind);
    if (!address)
        throw StartError(exit_config, "[" + pool.name + "] bind: " + address.error());
    net::ListenOptions options = options_of(pool);
    if (SharedListener open = find_listener(before, address.value()))
        return open;
    // A server that runs cannot stand still for seconds until a port is free.
    if (!before.empty())
        options.attempts = 1;
    if (SharedListener ours = find_overlap(before, address.value()))
        throw StartError(exit_failure,
                         "cannot listen on " + address.value().text + ": this server listens on " +
                             ours->bound() + ", and has to be restarted to change that");
    opened.push_back(
        std::make_shared<net::Listener>(net::Listener::open(address.value(), options)));
    logging::info("[%s] listening on %s", pool.name.c_str(), opened.back()->bound().c_str());
    return opened.back();
}

// Sockets from systemd take the place of the pool's own addresses.
std::vector<SharedListener> listeners_of(const config::Pool& pool,
                                         const std::vector<ActivatedSocket>& activated,
                                         bool only_pool,
                                         const std::vector<SharedListener>& before,
                                         std::vector<SharedListener>& opened)
{
    std::vector<SharedListener> listeners;
    for (const ActivatedSocket& socket : activated)
        if (only_pool || socket.name == pool.name)
            listeners.push_back(socket.listener);
    if (listeners.empty())
        for (const std::string& bind : pool.bind)
            listeners.push_back(open_listener(pool, bind, before, opened));
    return listeners;
}

// A socket that nobody accepts on would keep its clients waiting.
void refuse_unclaimed(const config::Config& config, const std::vector<ActivatedSocket>& activated)
{
    if (config.pools.size() == 1)
        return;
    for (const ActivatedSocket& socket : activated) {
        const bool claimed =
            std::any_of(config.pools.begin(), config.pools.end(), [&](const config::Pool& pool) {
                return pool.name == socket.name;
            });
        if (!claimed)
            throw StartError(exit_config,
                             "the socket " + text::in_quotes(socket.name) +
                                 " from systemd is for no pool: FileDescriptorName= must be the "
                                 "name of one");
    }
}

}  // namespace

OpenedFiles::OpenedFiles(const config::Pool& pool)
{
    struct stat status {};
    if (!pool.root.empty() && ::stat((pool.chroot + pool.root).c_str(), &status) == 0)
        root = {status.st_dev, status.st_ino};
    if (!pool.module.empty() && ::stat((pool.chroot + pool.module).c_str(), &status) == 0)
        module = {status.st_dev,
                  status.st_ino,
                  static_cast<std::uint64_t>(status.st_size),
                  static_cast<std::uint64_t>(status.st_mtim.tv_sec),
                  static_cast<std::uint64_t>(status.st_mtim.tv_nsec)};
}

Service::Service(config::Pool pool, std::vector<SharedListener> sockets)
    : config(std::move(pool)), listeners(std::move(sockets)), identity(identity_of(config)),
      files(config), access_log(config.access_log_format, config.access_log),
      policy(policy_of(config))
{
}

bool listens_at(const Service& service, const SharedListener& listener)
{
    return std::ranges::find(service.listeners, listener) != service.listeners.end();
}

bool shares(const Services& services, const SharedListener& listener)
{
    return std::ranges::any_of(services,
                               [&](const auto& service) { return listens_at(*service, listener); });
}

bool is_heir(const Service& service, const Service& other)
{
    return std::ranges::any_of(other.listeners, [&](const SharedListener& listener) {
        return listens_at(service, listener);
    });
}

std::optional<net::Backlog> backlog_of(const Service& service)
{
    net::Backlog sum;
    for (const SharedListener& listener : service.listeners) {
        const auto backlog = net::backlog_of(listener->fd());
        if (!backlog)
            return std::nullopt;
        sum.waiting += backlog->waiting;
        sum.size += backlog->size;
    }
    return sum;
}

std::shared_ptr<Service> find_service(const Services& services, std::string_view pool)
{
    const auto found = std::ranges::find_if(
        services, [pool](const auto& service) { return service->config.name == pool; });
    return found == services.end() ? nullptr : *found;
}

bool Service::same_as(const Service& other) const
{
    return config == other.config && listeners == other.listeners && identity == other.identity &&
           files == other.files && policy.limit() != 0;  // WINCH has retired them
}

GivenSockets take_given_sockets()
{
    GivenSockets given;
    for (net::InheritedSocket& socket : net::listen_fds()) {
        const bool handed_over = socket.name.starts_with(handed_mark);
        const auto known = net::Address::parse("fd://" + socket.name.substr(handed_over ? 1 : 0));
        auto listener = std::make_shared<net::Listener>(
            handed_over && known ? net::Listener::adopt(std::move(socket.fd), known.value())
                                 : net::Listener::adopt(std::move(socket.fd)));
        logging::info("listening on %s (from %s)",
                      listener->bound().c_str(),
                      handed_over ? "the old server" : "systemd");
        if (handed_over)
            given.handed_over.push_back(std::move(listener));
        else
            given.activated.push_back({std::move(listener), socket.name});
    }
    return given;
}

std::string handed_name(const net::Listener& listener)
{
    const net::Address& address = listener.address();
    const bool numbered = address.kind == net::Address::Kind::inherited_fd;
    return handed_mark + (numbered ? std::to_string(address.fd) : "");
}

std::vector<SharedListener> listeners_of(const Services& services)
{
    std::vector<SharedListener> all;
    for (const auto& service : services)
        all.insert(all.end(), service->listeners.begin(), service->listeners.end());
    return all;
}

Services open_services(const config::Config& config,
                       const std::vector<ActivatedSocket>& activated,
                       const std::vector<SharedListener>& open)
{
    refuse_unclaimed(config, activated);
    Services services;
    std::vector<SharedListener> opened;
    try {
        for (config::Pool pool : config.pools) {
            if (config.global.daemon && pool.access_log == "-")
                pool.access_log.clear();  // a daemon has no stdout
            const bool only_pool = config.pools.size() == 1;
            services.push_back(std::make_shared<Service>(
                pool, listeners_of(pool, activated, only_pool, open, opened)));
        }
    } catch (...) {
        for (const SharedListener& listener : opened)
            listener->unlink_if_ours();
        throw;
    }
    return services;
}

void apply_options(const Services& services, const std::vector<ActivatedSocket>& activated) noexcept
{
    for (const auto& service : services)
        for (const SharedListener& listener : service->listeners) {
            const auto same = [&](const auto& socket) { return socket.listener == listener; };
            if (std::any_of(activated.begin(), activated.end(), same))
                continue;
            try {
                listener->apply(options_of(service->config));
            } catch (const std::exception& error) {
                logging::error("[%s] %s", service->config.name.c_str(), error.what());
            }
        }
}

}  // namespace server
