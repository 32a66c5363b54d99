#include "server/channel.h"

#include "base/error.h"

#include <cstring>

#include <sys/socket.h>

namespace server {

namespace {

union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

std::pair<UniqueFd, UniqueFd> open_channel()
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        throw_errno("socketpair");
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

namespace {

msghdr header_for(iovec& part, Control& control)
{
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    return message;
}

UniqueFd descriptor_of(const msghdr& message)
{
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int)))
        return UniqueFd();
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return UniqueFd(fd);
}

bool takes_descriptor(Message kind)
{
    return kind == Message::error_log || kind == Message::access_log || kind == Message::last;
}

}  // namespace

void send(int channel, Message kind, int fd) noexcept
{
    char tag = static_cast<char>(kind);
    iovec part{&tag, 1};
    Control control{};
    msghdr message = header_for(part, control);
    if (fd >= 0) {
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    } else {
        message.msg_control = nullptr;
        message.msg_controllen = 0;
    }
    ::sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::optional<ChannelMessage> receive(int channel) noexcept
{
    char tag = 0;
    iovec part{&tag, 1};
    Control control{};
    msghdr message = header_for(part, control);
    if (::recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
        return std::nullopt;
    ChannelMessage received{static_cast<Message>(tag), descriptor_of(message)};
    const bool known =
        received.fd ? takes_descriptor(received.kind) : received.kind == Message::stay;
    if (!known || (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0)
        return std::nullopt;
    return received;
}

}  // namespace server
