// address.h - connects to unix:PATH, HOST:PORT or [V6]:PORT; makes listening sockets for the tests.
// Errors   throws std::system_error; try_connect returns -1.
// Owner    the caller owns the returned descriptors (all close-on-exec).
#pragma once

#include <string>

int try_connect(const std::string& address);
int connect_to(const std::string& address);

// A bound and a listening socket; port 0 is an ephemeral one.
int bind_to(const std::string& address);
int listen_on(const std::string& address);
// 127.0.0.1:PORT or [::1]:PORT of a bound TCP socket.
std::string name_of(int socket);

// An address that nobody listens on, HOST as in 127.0.0.1 or [::1]; no other test gets the same.
std::string free_address(const std::string& host = "127.0.0.1");
bool has_ipv6();
