#include "server/run_once.h"

#include "base/daemon.h"
#include "base/error.h"
#include "fcgi/client.h"
#include "handler/cgi/cgi.h"
#include "handler/cgi/root.h"
#include "log/log.h"
#include "server/privileges.h"
#include "server/run_request.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace server {

namespace {

[[noreturn]] void wrong_usage(const std::string& text)
{
    throw StartError(exit_usage, "--run: " + text);
}

// --- the pool -----------------------------------------------------------------------------------

const config::Pool& find_pool(const config::Loaded& loaded)
{
    const auto& pools = loaded.config.pools;
    std::string known;
    for (const config::Pool& pool : pools) {
        if (pool.name == loaded.run.pool || (loaded.run.pool.empty() && pools.size() == 1))
            return pool;
        known += (known.empty() ? "" : ", ") + pool.name;
    }
    if (loaded.run.pool.empty())
        wrong_usage("there are several pools: add --pool with one of " + known);
    wrong_usage("there is no pool " + loaded.run.pool + ": " + known);
}

config::Pool pool_to_run(const config::Loaded& loaded)
{
    config::Pool pool = find_pool(loaded);
    if (pool.handler != config::HandlerKind::cgi)
        wrong_usage("pool " + pool.name + " runs no CGI programs, it has a module");
    pool.script_stderr = config::StderrTarget::web;  // and from there to our own
    return pool;
}

void open_log(const config::Global& global)
{
    logging::Target target;
    target.plain = true;
    target.level = logging::parse_level(global.log_level).value_or(logging::Level::info);
    logging::open(target);
}

// As a worker does it. A session leader that lets go of its terminal would end the whole session.
void become_worker(const config::Pool& pool)
{
    if (::getsid(0) != ::getpid())
        leave_terminal();
    try {
        drop_privileges(pool, identity_of(pool));
    } catch (const std::system_error& error) {
        throw StartError(exit_worker_boot, error.what());
    }
}

// --- the program --------------------------------------------------------------------------------

std::string plain(const std::string& path)
{
    return std::filesystem::path(path).lexically_normal().string();
}

std::string without_trailing_slash(std::string path)
{
    if (path.ends_with('/'))
        path.pop_back();
    return path;
}

// The path as seen in the chroot, whichever way it was given.
std::string seen_inside(const config::Pool& pool, const std::string& path)
{
    const bool outside = !pool.chroot.empty() && ::geteuid() == 0 &&
                         path.starts_with(without_trailing_slash(pool.chroot) + "/");
    return outside ? path.substr(without_trailing_slash(pool.chroot).size()) : path;
}

// Under which names a web server would ask this pool for the program.
ProgramName name_program(const config::Pool& pool, const std::string& file, const Variables& shell)
{
    const std::string mount = without_trailing_slash(pool.mount);
    if (!pool.script.empty() && plain(pool.script) != file)
        wrong_usage("pool " + pool.name + " runs " + pool.script +
                    " for every request, and never " + file);
    if (!pool.script.empty())
        return {file, mount, std::filesystem::path(file).parent_path().string()};
    const cgi::Root root(pool.root);
    const auto name = root.relative(std::string_view(file).substr(1));
    if (!name)
        wrong_usage(file + " is not beneath " + pool.root + ", the root of pool " + pool.name);
    const auto given = shell.find("SCRIPT_NAME");
    if (pool.mount.empty() && given != shell.end())
        return {file, given->second, pool.root};
    return {file, mount + "/" + std::string(*name), pool.root};
}

std::string read_body(std::size_t limit)
{
    if (::isatty(STDIN_FILENO) == 1)
        std::fputs("tricorn: the body is read from the terminal, Control-D ends it\n", stderr);
    std::string body;
    std::vector<char> buffer(1 << 16);
    while (body.size() < limit) {
        const std::size_t wanted = std::min(buffer.size(), limit - body.size());
        const ssize_t got = ::read(STDIN_FILENO, buffer.data(), wanted);
        if (got < 0 && errno != EINTR)
            throw_errno("standard input");
        if (got == 0)
            break;
        body.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    }
    return body;
}

// --- the exchange -------------------------------------------------------------------------------

// False when nobody reads it any more.
bool print(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EAGAIN) {
            pollfd ready{fd, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

// Both ends of a connection, of which neither may wait for the other.
class Exchange {
public:
    Exchange(const config::Pool& pool, std::string request) : request_(std::move(request))
    {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            throw_errno("socketpair");
        web_server_ = UniqueFd(ends[0]);
        connection_ = std::make_unique<fcgi::Connection>(
            UniqueFd(ends[1]), fcgi::ConnectionLimits{pool.max_params_size, 1, false});
    }

    bool run(handler::Handler& handler)
    {
        while (!task_ || !task_->done())
            step(handler);
        const bool failed = task_->outcome().failed;
        task_.reset();
        connection_.reset();
        while (web_server_)  // what is left ends with the connection
            receive();
        return whole_ && !failed;
    }

private:
    void step(handler::Handler& handler)
    {
        const short events = static_cast<short>(POLLIN | (request_.empty() ? 0 : POLLOUT));
        set_.assign({{web_server_.get(), events, 0}, {task_ ? -1 : connection_->fd(), POLLIN, 0}});
        const TimePoint deadline = task_ ? task_->prepare(set_) : never;
        if (::poll(set_.data(), set_.size(), poll_timeout(deadline, Clock::now())) < 0)
            for (pollfd& entry : set_)
                entry.revents = 0;
        if ((set_[0].revents & POLLOUT) != 0)
            send();
        if ((set_[0].revents & ~POLLOUT) != 0)
            receive();
        const TimePoint now = Clock::now();
        if (task_)
            return task_->advance(std::span<const pollfd>(set_).subspan(2), now);
        connection_->receive();
        if (connection_->head_complete())
            task_ = handler.start(*connection_, now);
    }

    void send()
    {
        const ssize_t sent = ::send(web_server_.get(),
                                    request_.data() + sent_,
                                    request_.size() - sent_,
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        const bool unwanted = sent < 0 && errno != EAGAIN && errno != EINTR;
        if (sent > 0)
            sent_ += static_cast<std::size_t>(sent);
        if (unwanted || sent_ == request_.size())
            request_.clear();
    }

    void receive()
    {
        char buffer[1 << 16];
        const ssize_t got = ::recv(web_server_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0)
            return web_server_.reset();
        reply_.feed({buffer, static_cast<std::size_t>(got)});
        while (const auto piece = reply_.next())
            if (!take(*piece))
                return web_server_.reset();
    }

    // False when the web server would close.
    bool take(const fcgi::ReplyReader::Piece& piece)
    {
        using Kind = fcgi::ReplyReader::Piece::Kind;
        switch (piece.kind) {
        case Kind::out: return print(STDOUT_FILENO, piece.bytes);
        case Kind::err: print(STDERR_FILENO, piece.bytes); return true;
        case Kind::ended: whole_ = true; return false;
        case Kind::broken: break;
        }
        return false;
    }

    std::string request_;
    std::size_t sent_ = 0;
    UniqueFd web_server_;
    std::unique_ptr<fcgi::Connection> connection_;
    std::unique_ptr<handler::Task> task_;
    fcgi::ReplyReader reply_;
    bool whole_ = false;  // END_REQUEST has come
    std::vector<pollfd> set_;
};

}  // namespace

int run_once(const config::Loaded& loaded)
{
    const config::Pool pool = pool_to_run(loaded);
    const Variables shell = request_variables(environ);
    open_log(loaded.config.global);
    for (const std::string& warning : loaded.warnings)
        logging::warning("%s", warning.c_str());
    const auto limit = body_limit(shell);
    const std::string body = limit ? read_body(*limit) : "";
    const std::string file = plain(seen_inside(pool, loaded.run.script));

    become_worker(pool);
    const ProgramName program = name_program(pool, file, shell);
    const Variables request =
        build_request(shell, program, limit ? std::optional(body.size()) : std::nullopt);
    const std::vector<fcgi::Params::Pair> params(request.begin(), request.end());
    cgi::CgiHandler handler(pool);
    return Exchange(pool, fcgi::encode_request(params, body)).run(handler) ? exit_ok : exit_failure;
}

}  // namespace server
