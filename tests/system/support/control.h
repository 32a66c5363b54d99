// control.h - tricornctl, and raw clients of the control socket, against a test server.
// Units    time is milliseconds.
// Errors   ControlClient throws std::system_error when it cannot connect.
#pragma once

#include "tests/system/support/process.h"
#include "tests/system/support/server.h"

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

// The line of [global] that gives a test server its control socket, and where that is.
inline const std::string with_control = "control = c\n";
std::string control_socket(const Server& server);

Finished tricornctl(std::vector<std::string> arguments,
                    const std::string& user = "",
                    Milliseconds patience = default_patience);
// The same, for this server.
Finished ctl(const Server& server,
             std::vector<std::string> arguments,
             Milliseconds patience = default_patience);

// What `status` answers; REQUIRE fails when it does not.
nlohmann::json status_of(const Server& server);

// A client of the control socket that may misbehave.
class ControlClient {
public:
    explicit ControlClient(const Server& server);
    ControlClient(ControlClient&& other) noexcept;
    ControlClient& operator=(ControlClient&&) = delete;
    ~ControlClient();

    void send(const std::string& bytes) const;
    // All that comes until the server closes, or the time is over.
    std::string receive(Milliseconds patience = default_patience) const;

private:
    int fd_;
};
