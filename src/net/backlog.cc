#include "net/backlog.h"

#include "base/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace net {

namespace {

constexpr std::uint32_t tcp_listen = 10;  // TCP_LISTEN, which Unix sockets use as well
constexpr std::size_t longest_answer = 512;

// For a listening socket the kernel has other things to say under these names.
std::optional<Backlog> tcp_backlog(int listener)
{
    tcp_info info{};
    socklen_t length = sizeof info;
    if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
        return std::nullopt;
    return Backlog{info.tcpi_unacked, info.tcpi_sacked};
}

bool ask_for(int netlink, std::uint32_t inode)
{
    struct {
        nlmsghdr header;
        unix_diag_req request;
    } question{};
    question.header.nlmsg_len = sizeof question;
    question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.header.nlmsg_flags = NLM_F_REQUEST;
    question.request.sdiag_family = AF_UNIX;
    question.request.udiag_states = 1U << tcp_listen;
    question.request.udiag_ino = inode;
    question.request.udiag_show = UDIAG_SHOW_RQLEN;
    question.request.udiag_cookie[0] = INET_DIAG_NOCOOKIE;
    question.request.udiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return ::send(netlink, &question, sizeof question, MSG_DONTWAIT) == sizeof question;
}

std::optional<Backlog> read_answer(const nlmsghdr* header, std::size_t length, std::uint32_t inode)
{
    if (!NLMSG_OK(header, length) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        header->nlmsg_len < NLMSG_LENGTH(sizeof(unix_diag_msg)))
        return std::nullopt;
    const auto* const answer = static_cast<const unix_diag_msg*>(NLMSG_DATA(header));
    if (answer->udiag_ino != inode)
        return std::nullopt;
    auto left = header->nlmsg_len - NLMSG_LENGTH(sizeof *answer);
    const auto* attribute = reinterpret_cast<const rtattr*>(answer + 1);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type != UNIX_DIAG_RQLEN ||
            RTA_PAYLOAD(attribute) < sizeof(unix_diag_rqlen))
            continue;
        unix_diag_rqlen queue{};
        std::memcpy(&queue, RTA_DATA(attribute), sizeof queue);
        return Backlog{queue.udiag_rqueue, queue.udiag_wqueue};
    }
    return std::nullopt;
}

std::optional<Backlog> unix_backlog(int listener)
{
    struct stat socket {};
    if (::fstat(listener, &socket) != 0)
        return std::nullopt;
    const UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    const auto inode = static_cast<std::uint32_t>(socket.st_ino);
    if (!netlink || !ask_for(netlink.get(), inode))
        return std::nullopt;
    alignas(nlmsghdr) std::byte answer[longest_answer];
    const ssize_t count = ::recv(netlink.get(), answer, sizeof answer, MSG_DONTWAIT);
    if (count < 0)
        return std::nullopt;
    return read_answer(
        reinterpret_cast<const nlmsghdr*>(answer), static_cast<std::size_t>(count), inode);
}

}  // namespace

std::optional<Backlog> backlog_of(int listener) noexcept
{
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0)
        return std::nullopt;
    return address.ss_family == AF_UNIX ? unix_backlog(listener) : tcp_backlog(listener);
}

}  // namespace net
