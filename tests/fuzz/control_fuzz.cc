// control_fuzz.cc - a request of the control socket is understood or refused with a reason; a reply
// that is read can be written; any bytes in a reply become one line of ASCII that is read again.
#include "control/reply.h"
#include "control/request.h"
#include "ctl/show.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool truth)
{
    if (!truth)
        std::abort();
}

bool one_line(const std::string& text)
{
    return text.ends_with('\n') &&
           std::all_of(text.begin(), text.end() - 1, [](char c) { return c >= ' ' && c < 0x7f; });
}

void check_request(std::string_view line)
{
    const auto request = control::parse_request(line);
    if (!request) {
        require(!request.error().empty());
        return;
    }
    const control::Request& asked = request.value();
    require((asked.command == control::Command::kill) == (asked.pid > 0));
    require((asked.command == control::Command::scale) == (asked.count != 0));
    require(asked.relative || asked.count >= 0);
}

void check_reply(std::string_view document)
{
    const auto reply = control::read_reply(document);
    if (!reply)
        return;
    const std::string written = control::write_reply(*reply);
    require(one_line(written) && control::read_reply(written));
    if (reply->status)
        ctl::show_status(*reply->status);
}

void check_text(const std::string& text)
{
    control::Reply reply = control::refusal(text);
    control::PoolStatus pool;
    pool.workers.emplace_back().request = text;
    reply.status.emplace().pools = {pool};
    const std::string written = control::write_reply(reply);
    require(one_line(written) && control::read_reply(written));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text(reinterpret_cast<const char*>(data), size);
    check_request(text);
    check_reply(text);
    check_text(text);
    return 0;
}
