// channel.h - the line from the arbiter to one worker: hands descriptors of reopened logs to a
// process that may no longer open them itself. Nothing goes the other way.
// Errors   open_channel() throws std::system_error; sending to a worker that is gone or does not
//          listen is no error: it will be replaced or ask again.
// Owner    the arbiter holds one end, the worker the other.
// Source   cmsg(3), SCM_RIGHTS.
#pragma once

#include "base/unique_fd.h"

#include <optional>
#include <utility>

namespace server {

enum class LogFile : char { error = 'E', access = 'A' };

struct ChannelMessage {
    LogFile file;
    UniqueFd fd;
};

// first: the arbiter's end; second: the worker's.
std::pair<UniqueFd, UniqueFd> open_channel();

void send_log(int channel, LogFile file, int fd) noexcept;

// The next message; nullopt when there is none, or none that makes sense.
std::optional<ChannelMessage> receive_log(int channel) noexcept;

}  // namespace server
