// nginx.h - a real nginx in front of a test server, and curl as the browser.
// Units    time is milliseconds.
// Errors   throws std::runtime_error when nginx does not come up (with its log).
// Owner    the test; the destructor stops nginx.
#pragma once

#include "tests/system/support/process.h"
#include "tests/system/support/server.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

bool has_program(const std::string& name);

class Nginx {
public:
    // `locations` stands inside server {}; `http` inside http {} (upstreams). In both @ROOT@,
    // @SOCKET@ and
    // @DIR@ are the test server's, and @PARAMS@ includes nginx's own fastcgi_params.
    explicit Nginx(const Server& server,
                   const std::string& locations,
                   const std::string& http = "");
    Nginx(const Nginx&) = delete;
    Nginx& operator=(const Nginx&) = delete;
    ~Nginx();

    std::string url(const std::string& path) const { return "http://" + address_ + path; }
    std::string error_log() const;

private:
    TempDir directory_;
    std::string address_;
    std::optional<Process> process_;
};

// The two keys that let nginx's workers (another user than root) reach the socket.
std::string socket_for_nginx();

struct HttpAnswer {
    int exit = -1;  // curl's
    int status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
    double first_byte = 0;  // seconds
};

// One request with curl; further arguments as curl takes them.
HttpAnswer curl(const std::string& url,
                std::vector<std::string> arguments = {},
                Milliseconds patience = default_patience);
