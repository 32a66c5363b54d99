// show.h - a server's status as text for people. Pure.
// Errors   none. Whatever a client or a worker has put into a name is escaped: no control character
//          reaches the terminal.
// Owner    tricornctl.
#pragma once

#include "control/reply.h"

#include <string>
#include <string_view>

namespace ctl {

std::string show_status(const control::ServerStatus& server);
std::string show_pools(const control::ServerStatus& server);
std::string show_workers(const control::ServerStatus& server);

// Each line of a text, escaped.
std::string show_lines(std::string_view text);

}  // namespace ctl
