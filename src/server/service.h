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
#include "net/listener.h"
#include "server/pool.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace server {

using SharedListener = std::shared_ptr<net::Listener>;

struct Service {
    Service(config::Pool pool, std::vector<SharedListener> sockets);

    config::Pool config;
    std::vector<SharedListener> listeners;
    std::optional<Identity> identity;  // whom workers become; empty: they stay what we are
    AccessLog access_log;
    Pool policy;
};

using Services = std::vector<std::shared_ptr<Service>>;

// A socket that systemd has passed, and the name of the pool it is meant for.
struct ActivatedSocket {
    SharedListener listener;
    std::string name;
};
std::vector<ActivatedSocket> take_activated_sockets();

// Makes the services of a configuration. Sockets of `before` with the same address are shared, so
// that no connection is lost between the two; all others are opened.
Services open_services(const config::Config& config,
                       const std::vector<ActivatedSocket>& activated,
                       const Services& before);

// Closes the sockets of `before` that `after` does not share, and removes their files.
void close_unshared(const Services& before, const Services& after) noexcept;

}  // namespace server
