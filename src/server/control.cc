#include "server/control.h"

#include "base/error.h"
#include "config/settings.h"
#include "log/log.h"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

namespace server {

namespace {

constexpr std::size_t most_clients = 16;
constexpr std::size_t longest_reply = 16 << 20;
// From being accepted to having taken the whole reply.
constexpr Duration client_time{5'000};
// Out of descriptors: the socket would be readable all the time.
constexpr Duration accept_pause{1'000};
// Until a socket that could not be had is tried again: a server that is about to end may have it.
constexpr Duration retry_pause{10'000};
constexpr Duration hurry_pause{100};
constexpr Duration hurry_time{5'000};

net::Address address_of(const std::string& path)
{
    const auto address = net::Address::parse("unix:" + path);
    if (!address)
        throw StartError(exit_config, "control: " + address.error());
    return address.value();
}

net::ListenOptions owner_only()
{
    net::ListenOptions options;
    options.backlog = most_clients;
    options.mode = 0600;
    options.attempts = 1;  // the arbiter does not wait
    return options;
}

// In an upgrade the server that has started this one has the socket, until it ends.
bool parent_has(const std::string& path)
{
    const net::Address address = address_of(path);
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ucred server{};
    socklen_t length = sizeof server;
    return probe && ::connect(probe.get(), address.get(), address.length) == 0 &&
           ::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &server, &length) == 0 &&
           server.pid == ::getppid();
}

bool may_control(const ucred& peer)
{
    return peer.uid == 0 || peer.uid == ::geteuid();
}

std::string describe(const ucred& peer)
{
    return "user " + std::to_string(peer.uid) + ", process " + std::to_string(peer.pid);
}

// What changes nothing is asked for often: it is of no interest in the log.
bool only_asks(const control::Request& request)
{
    return request.command == control::Command::status ||
           request.command == control::Command::config;
}

}  // namespace

Control::Socket::Socket(const std::string& path)
    : listener_(net::Listener::open(address_of(path), owner_only()))
{
}

std::shared_ptr<Control::Socket> Control::prepare(const std::string& setting) const
{
    const bool by_default = setting == "auto";
    const std::string path = by_default ? config::default_control : setting;
    if (path.empty())
        return nullptr;
    // Somebody may have removed the file.
    if (socket_ && socket_->path() == path && socket_->reachable())
        return socket_;
    const bool parents = parent_has(path);  // looked at first: it may end now
    try {
        return std::make_shared<Socket>(path);
    } catch (const StartError& error) {
        if (!by_default && !parents)
            throw StartError(error.exit_code(), std::string("control: ") + error.what());
        // Said once: serve() tries again every now and then.
        logging::write(setting_.empty() ? logging::Level::info : logging::Level::debug,
                       std::string("no control socket: ") + error.what());
        return nullptr;
    }
}

void Control::use(const std::string& setting, std::shared_ptr<Socket> socket)
{
    if (socket && socket != socket_)
        logging::info("controlled at %s", socket->path().c_str());
    setting_ = setting;
    socket_ = std::move(socket);
    retry_after_ = Clock::now() + retry_pause;
}

void Control::watch(std::vector<pollfd>& set, TimePoint now) const
{
    if (socket_ && clients_.size() < most_clients && now >= accept_after_)
        set.push_back({socket_->fd(), POLLIN, 0});
    for (const Client& client : clients_)
        set.push_back({client.fd.get(), client.output.empty() ? short{POLLIN} : short{POLLOUT}, 0});
}

void Control::serve(TimePoint now)
{
    retry(now);
    accept_clients(now);
    for (Client& client : clients_) {
        if (client.output.empty())
            receive(client);
        if (!client.over && !client.output.empty())
            send(client);
    }
    std::erase_if(clients_,
                  [now](const Client& client) { return client.over || now >= client.deadline; });
}

void Control::close()
{
    use("", nullptr);
    clients_.clear();
}

void Control::retry_now()
{
    const TimePoint now = Clock::now();
    hurry_until_ = now + hurry_time;
    retry_after_ = now;
    retry(now);
}

void Control::retry(TimePoint now)
{
    if (socket_ || setting_.empty() || now < retry_after_)
        return;
    try {
        use(setting_, prepare(setting_));
    } catch (const StartError& error) {
        logging::debug("no control socket: %s", error.what());
    }
    retry_after_ = now + (now < hurry_until_ ? hurry_pause : retry_pause);
}

// --- clients ------------------------------------------------------------------------------------

void Control::accept_clients(TimePoint now)
{
    using Outcome = net::Accepted::Outcome;
    if (!socket_ || now < accept_after_)
        return;
    for (std::size_t tries = 0; tries < most_clients && clients_.size() < most_clients; ++tries) {
        net::Accepted accepted = net::accept(socket_->fd(), false);
        if (accepted.outcome == Outcome::accepted)
            welcome(std::move(accepted.fd), now);
        else if (accepted.outcome == Outcome::would_block)
            return;
        else if (accepted.outcome != Outcome::retry) {
            logging::warning("control socket: %s", errno_text(accepted.error).c_str());
            accept_after_ = now + accept_pause;
            return;
        }
    }
}

void Control::welcome(UniqueFd fd, TimePoint now)
{
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return;
    Client client;
    client.fd = std::move(fd);
    client.name = describe(peer);
    client.deadline = now + client_time;
    if (may_control(peer)) {
        clients_.push_back(std::move(client));
        return;
    }
    logging::warning("control: refused to %s", client.name.c_str());
    client.output = control::write_reply(
        control::refusal("only root and the user that the server runs as may control it"));
    send(client);  // once: it fits, or they do not care
}

void Control::receive(Client& client)
{
    char bytes[control::longest_request + 1];
    const ssize_t count = ::recv(client.fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0) {
        client.over = errno != EAGAIN && errno != EINTR;
        return;
    }
    client.input.append(bytes, static_cast<std::size_t>(count));
    const std::size_t length = std::min(client.input.find('\n'), client.input.size());
    if (length > control::longest_request)
        client.output = control::write_reply(
            control::refusal("the request is too long: at most " +
                             std::to_string(control::longest_request) + " bytes"));
    else if (length < client.input.size())
        answer(client, client.input.substr(0, length));
    else
        client.over = count == 0;  // it has gone
}

void Control::answer(Client& client, const std::string& line)
{
    const auto request = control::parse_request(line);
    if (!request) {
        client.output = control::write_reply(control::refusal(request.error()));
        return;
    }
    logging::write(only_asks(request.value()) ? logging::Level::debug : logging::Level::info,
                   "control: " + line + " (" + client.name + ")");
    client.output = control::write_reply(actions_.carry_out(request.value()));
    if (client.output.size() > longest_reply)
        client.output = control::write_reply(control::refusal("the reply would be too long"));
}

void Control::send(Client& client)
{
    const ssize_t count = ::send(client.fd.get(),
                                 client.output.data() + client.sent,
                                 client.output.size() - client.sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0)
        client.sent += static_cast<std::size_t>(count);
    client.over =
        client.sent == client.output.size() || (count < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace server
