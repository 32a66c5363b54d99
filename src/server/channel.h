// channel.h - the line from the arbiter to one worker: what signals cannot say, and descriptors of
// reopened logs for a process that may no longer open them itself. Nothing goes the other way.
// Errors   open_channel() throws std::system_error; sending to a worker that is gone or does not
//          listen is no error: it will be replaced or ask again.
// Owner    the arbiter holds one end, the worker the other.
// Source   cmsg(3), SCM_RIGHTS.
#pragma once

#include "base/unique_fd.h"

#include <optional>
#include <utility>

namespace server {

enum class Message : char {
    error_log = 'E',   // with its new descriptor
    access_log = 'A',  // likewise
    stay = 'S',        // the worker has asked to be replaced: others go first
    last = 'L',        // with a listener: nobody else will serve those who wait there
};

struct ChannelMessage {
    Message kind;
    UniqueFd fd;  // of a log or listener
};

// first: the arbiter's end; second: the worker's.
std::pair<UniqueFd, UniqueFd> open_channel();

void send(int channel, Message kind, int fd = -1) noexcept;

// The next message; nullopt when there is none, or none that makes sense.
std::optional<ChannelMessage> receive(int channel) noexcept;

}  // namespace server
