#include "handler/stderr_lines.h"

#include "log/log.h"

#include <cstddef>

namespace handler {

namespace {
constexpr std::size_t max_line = 64 << 10;
}

StderrLines::StderrLines(const config::Pool& pool,
                         fcgi::Connection& client,
                         std::string script,
                         pid_t pid)
    : client_(client), to_log_(pool.script_stderr != config::StderrTarget::web),
      to_web_(pool.script_stderr != config::StderrTarget::log),
      prefix_("[" + pool.name + "] " + std::move(script) + " (" + std::to_string(pid) + "): ")
{
}

void StderrLines::feed(std::string_view bytes)
{
    if (room_ == 0)
        return;
    const bool too_much = bytes.size() >= room_;
    bytes = bytes.substr(0, room_);
    room_ -= bytes.size();
    split(bytes);
    if (!too_much)
        return;
    end();
    emit("the rest of this request's stderr is dropped", false);
}

void StderrLines::split(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::size_t end = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, end);
        if (partial_.size() + piece.size() > max_line) {
            const std::size_t room = max_line - partial_.size();
            partial_.append(piece.substr(0, room));
            emit(partial_, true);
            partial_.clear();
            bytes.remove_prefix(room);
            continue;
        }
        if (end == std::string_view::npos) {
            partial_.append(piece);
            return;
        }
        if (partial_.empty()) {
            emit(piece, false);
        } else {
            emit(partial_.append(piece), false);
            partial_.clear();
        }
        bytes.remove_prefix(end + 1);
    }
}

void StderrLines::end()
{
    if (!partial_.empty())
        emit(partial_, false);
    partial_.clear();
}

void StderrLines::emit(std::string_view line, bool continued)
{
    if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    if (to_log_ || !to_web_)
        logging::write(logging::Level::warning,
                       std::string(prefix_).append(line).append(continued ? " [...]" : ""));
    if (to_web_)
        client_.write_stderr(std::string(line).append("\n"));
}

}  // namespace handler
