// run_once.h - tricorn --run: serves one request that a shell describes, and prints the reply. The
// handler, the limits and the privileges are those of a worker; only the web server is played, at
// the other end of a socket pair in the same process.
// Errors   throws StartError: wrong usage, or what a worker could not boot for. Errors of the
//          program are a reply, and a line on stderr that says what is wrong.
// Owner    main().
// Source   php-cgi on a command line; cgi-fcgi(1).
#pragma once

#include "config/config.h"

namespace server {

// Exit status: 0 for a reply of the program, 1 when the reply is an error of ours or was cut short.
int run_once(const config::Loaded& loaded);

}  // namespace server
