// service.h - a pool as it runs: its configuration, listeners, log, user and policy. A reload makes
// a new Service beside the old one; workers hold on to the one that they were forked with.
// Units    none.
// Errors   open_services() throws (StartError, std::system_error) and leaves everything as it was.
// Owner    the Arbiter.
// Source   gunicorn sock.py create_sockets(), arbiter.py setup(); php-fpm's FPM_SOCKETS.
#pragma once

#include "base/process.h"
#include "config/settings.h"
#include "log/access_log.h"
#include "net/backlog.h"
#include "net/listener.h"
#include "server/pool.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace server {

using SharedListener = std::shared_ptr<net::Listener>;

// What a worker opens when it boots, as it is now: another file under the same name is a change.
struct OpenedFiles {
    explicit OpenedFiles(const config::Pool& pool);
    bool operator==(const OpenedFiles&) const = default;

    std::array<std::uint64_t, 2> root{};    // device and inode
    std::array<std::uint64_t, 5> module{};  // likewise, size, time of modification
};

struct Service {
    Service(config::Pool pool, std::vector<SharedListener> sockets);

    // The workers of this one serve as well as those that `other` would start.
    bool same_as(const Service& other) const;

    config::Pool config;
    std::vector<SharedListener> listeners;
    std::optional<Identity> identity;  // whom workers become; empty: they stay what we are
    OpenedFiles files;
    AccessLog access_log;
    Pool policy;
    std::shared_ptr<Service> previous;  // what serves until this one does; empty: it does
    TimePoint room_warning_after = TimePoint::min();  // that max_processes leaves it no worker
};

using Services = std::vector<std::shared_ptr<Service>>;

// The one of the pool with this name; empty: there is none.
std::shared_ptr<Service> find_service(const Services& services, std::string_view pool);

// Whether it, or one of them, has this listener.
bool listens_at(const Service& service, const SharedListener& listener);
bool shares(const Services& services, const SharedListener& listener);
// Whether it listens where the other one did.
bool is_heir(const Service& service, const Service& other);

// What waits for a worker at all its sockets together; empty: the kernel does not tell.
std::optional<net::Backlog> backlog_of(const Service& service);

// A socket that systemd has passed, and the name of the pool it is meant for.
struct ActivatedSocket {
    SharedListener listener;
    std::string name;
};

// All sockets that this process was started with.
struct GivenSockets {
    std::vector<ActivatedSocket> activated;
    std::vector<SharedListener> handed_over;  // by the server that this one takes over from
};
GivenSockets take_given_sockets();

// The name under which a socket is handed over that systemd has not opened; no pool's name is like
// it, and it keeps the number of fd://N.
std::string handed_name(const net::Listener& listener);

// Makes the services of a configuration. Sockets that are open for the same address are shared, so
// that no connection is lost; all others are opened.
Services open_services(const config::Config& config,
                       const std::vector<ActivatedSocket>& activated,
                       const std::vector<SharedListener>& open);

std::vector<SharedListener> listeners_of(const Services& services);

// Backlog, mode, owner and group of the sockets as the pools say now. What fails is logged.
void apply_options(const Services& services,
                   const std::vector<ActivatedSocket>& activated) noexcept;

}  // namespace server
