// check_places.h - judges whether sockets, logs and the pid file can be where the configuration
// wants them. Warnings only: a directory may be made before the server starts.
// Errors   none.
// Owner    check().
#pragma once

#include <string>

namespace config {

// What is in the way of a socket, a log or a pid file of that absolute path; empty: nothing.
std::string wrong_socket(const std::string& path);
std::string wrong_log(const std::string& path);
std::string wrong_pid_file(const std::string& path);

}  // namespace config
