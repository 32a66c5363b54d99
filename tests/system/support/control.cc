#include "tests/system/support/control.h"

#include "tests/catch.h"
#include "tests/system/support/address.h"

#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

std::string control_socket(const Server& server)
{
    return server.directory() / "c";
}

Finished tricornctl(std::vector<std::string> arguments,
                    const std::string& user,
                    Milliseconds patience)
{
    Command command;
    command.arguments = std::move(arguments);
    command.arguments.insert(command.arguments.begin(),
                             user.empty() ? binary() + "ctl" : public_file("tricornctl"));
    command.user = user;
    return run(std::move(command), patience);
}

Finished ctl(const Server& server, std::vector<std::string> arguments, Milliseconds patience)
{
    arguments.insert(arguments.begin(), {"-s", control_socket(server)});
    return tricornctl(std::move(arguments), "", patience);
}

nlohmann::json status_of(const Server& server)
{
    const Finished finished = ctl(server, {"--json", "status"});
    REQUIRE(finished.status == ExitStatus{0, 0});
    const auto document = nlohmann::json::parse(finished.out, nullptr, false);
    REQUIRE(document.is_object());
    REQUIRE(document["ok"] == true);
    return document["status"];
}

ControlClient::ControlClient(const Server& server)
    : fd_(connect_to("unix:" + control_socket(server)))
{
}

ControlClient::ControlClient(ControlClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

ControlClient::~ControlClient()
{
    if (fd_ >= 0)
        ::close(fd_);
}

void ControlClient::send(const std::string& bytes) const
{
    // A server that has closed is a result, not an error.
    [[maybe_unused]] const ssize_t sent =
        ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

std::string ControlClient::receive(Milliseconds patience) const
{
    const Stopwatch since;
    std::string text;
    char bytes[65536];
    while (since.elapsed() < patience) {
        pollfd set{fd_, POLLIN, 0};
        const auto left = patience - since.elapsed();
        if (::poll(&set, 1, static_cast<int>(left.count())) <= 0)
            break;
        const ssize_t count = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN))
            break;
        if (count > 0)
            text.append(bytes, static_cast<std::size_t>(count));
    }
    return text;
}
