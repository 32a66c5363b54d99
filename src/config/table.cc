// The table of settings. Each setting stands here once; everything else follows these rows.
#include "config/settings.h"

#include <limits>

namespace config {
namespace {

constexpr std::uint64_t second = 1000;
constexpr std::uint64_t year = 365ULL * 24 * 3600 * second;
constexpr std::uint64_t megabyte = 1 << 20;
constexpr Range any_duration{0, year};
constexpr Range some_duration{1, year};
constexpr Range any_size{0, std::numeric_limits<std::int64_t>::max()};
constexpr std::string_view durations = "DURATION";

// Rows read better filled than one field to a line.
// clang-format off
const Setting table[] = {
    {.key = "pid", .scope = Scope::global, .type = Type::path, .field = &Global::pid,
     .option = "pid", .letter = 'p', .argument = "FILE",
     .help = "write the arbiter's process id to FILE"},
    {.key = "control", .scope = Scope::global, .type = Type::path, .field = &Global::control,
     .by_default = "auto", .help = "socket on which tricornctl(1) is answered"},
    {.key = "error_log", .scope = Scope::global, .type = Type::log, .field = &Global::error_log,
     .by_default = "-", .option = "error-logfile", .argument = "FILE",
     .help = "error log, - for standard error"},
    {.key = "log_level", .scope = Scope::global, .type = Type::choice, .field = &Global::log_level,
     .by_default = "info", .choices = "debug info warning error critical", .option = "log-level",
     .argument = "LEVEL", .help = "least severe messages of the error log"},
    {.key = "log_syslog", .scope = Scope::global, .type = Type::flag, .field = &Global::log_syslog,
     .by_default = "no", .option = "log-syslog", .help = "send the error log to syslog"},
    {.key = "daemon", .scope = Scope::global, .type = Type::flag, .field = &Global::daemon,
     .by_default = "no", .option = "daemon", .letter = 'D',
     .help = "detach and run in the background"},
    {.key = "allow_root", .scope = Scope::global, .type = Type::flag, .field = &Global::allow_root,
     .by_default = "no", .option = "allow-root", .help = "let pools run as root"},
    {.key = "on_ready", .scope = Scope::global, .type = Type::text, .field = &Global::on_ready,
     .help = "shell command to run when the server is ready"},
    {.key = "on_reload", .scope = Scope::global, .type = Type::text, .field = &Global::on_reload,
     .help = "shell command to run after a reload"},
    {.key = "on_worker_exit", .scope = Scope::global, .type = Type::text,
     .field = &Global::on_worker_exit, .help = "shell command to run when a worker has ended"},
    {.key = "on_stop", .scope = Scope::global, .type = Type::text, .field = &Global::on_stop,
     .help = "shell command to run before a stop"},
    {.key = "hook_timeout", .scope = Scope::global, .type = Type::duration,
     .field = &Global::hook_timeout, .by_default = "30s", .range = some_duration,
     .help = "how long such a command may run"},
    {.key = "include", .scope = Scope::global, .type = Type::include,
     .help = "read more files, a glob(7) pattern"},

    {.key = "handler", .type = Type::choice, .field = &Pool::handler, .by_default = "cgi",
     .choices = "cgi module", .help = "what answers the requests"},
    {.key = "root", .type = Type::path, .field = &Pool::root,
     .help = "directory beneath which the programs lie"},
    {.key = "script", .type = Type::path, .field = &Pool::script,
     .help = "one program that answers every request"},
    {.key = "module", .type = Type::path, .field = &Pool::module,
     .help = "shared object that answers every request"},
    {.key = "mount", .type = Type::text, .field = &Pool::mount,
     .help = "URI prefix at which root or script appears"},
    {.key = "allowed_paths", .type = Type::words, .field = &Pool::allowed_paths,
     .help = "patterns of the programs that may run"},
    {.key = "allowed_extensions", .type = Type::words, .field = &Pool::allowed_extensions,
     .help = "endings of the programs that may run"},
    {.key = "owner_check", .type = Type::flag, .field = &Pool::owner_check, .by_default = "no",
     .help = "programs must belong to the pool's user and be writable by nobody else"},

    {.key = "bind", .type = Type::address, .field = &Pool::bind, .option = "bind", .letter = 'b',
     .argument = "ADDRESS",
     .help = "listen at unix:PATH, HOST:PORT, [V6]:PORT or fd://N; may be repeated"},
    {.key = "backlog", .type = Type::number, .field = &Pool::backlog, .by_default = "2048",
     .range = {1, 65535}, .option = "backlog", .argument = "N",
     .help = "connections that may wait to be accepted"},
    {.key = "listen_mode", .type = Type::mode, .field = &Pool::listen_mode, .by_default = "0660",
     .help = "mode of unix sockets"},
    {.key = "listen_owner", .type = Type::text, .field = &Pool::listen_owner,
     .help = "owner of unix sockets"},
    {.key = "listen_group", .type = Type::text, .field = &Pool::listen_group,
     .help = "group of unix sockets"},
    {.key = "allowed_clients", .type = Type::words, .field = &Pool::allowed_clients,
     .help = "addresses and networks that may connect by TCP"},
    {.key = "allowed_users", .type = Type::words, .field = &Pool::allowed_users,
     .help = "users whose processes may connect to unix sockets"},

    {.key = "user", .type = Type::text, .field = &Pool::user, .option = "user", .letter = 'u',
     .argument = "USER", .help = "run workers and programs as USER"},
    {.key = "group", .type = Type::text, .field = &Pool::group, .option = "group", .letter = 'g',
     .argument = "GROUP", .help = "run workers and programs as GROUP"},
    {.key = "chroot", .type = Type::path, .field = &Pool::chroot,
     .help = "root directory of workers and programs"},
    {.key = "chdir", .type = Type::path, .field = &Pool::chdir,
     .help = "working directory of workers"},
    {.key = "umask", .type = Type::mode, .field = &Pool::umask, .by_default = "0022",
     .option = "umask", .letter = 'm', .argument = "MODE",
     .help = "file mode creation mask of workers and programs"},
    {.key = "nice", .type = Type::nice, .field = &Pool::nice,
     .help = "nice value of workers and programs, -20 to 19"},

    {.key = "workers", .type = Type::number, .field = &Pool::workers, .by_default = "auto",
     .range = {1, 4096}, .option = "workers", .letter = 'w', .argument = "N",
     .help = "worker processes; auto: 2 for each CPU and one more, from 2 to 32"},
    {.key = "worker_class", .type = Type::choice, .field = &Pool::worker_class,
     .by_default = "sync", .choices = "sync", .option = "worker-class", .letter = 'k',
     .argument = "CLASS", .help = "how a worker serves: sync, one request at a time"},
    {.key = "timeout", .type = Type::duration, .field = &Pool::timeout, .by_default = "30s",
     .range = any_duration, .option = "timeout", .letter = 't', .argument = durations,
     .help = "a worker silent for longer is killed and replaced; 0: never"},
    {.key = "graceful_timeout", .type = Type::duration, .field = &Pool::graceful_timeout,
     .by_default = "30s", .range = any_duration, .option = "graceful-timeout",
     .argument = durations, .help = "time that workers get to finish their requests"},
    {.key = "max_requests", .type = Type::number, .field = &Pool::max_requests, .by_default = "0",
     .range = any_size, .option = "max-requests", .argument = "N",
     .help = "replace a worker after that many requests; 0: never"},
    {.key = "max_requests_jitter", .type = Type::number, .field = &Pool::max_requests_jitter,
     .by_default = "0", .range = any_size, .option = "max-requests-jitter", .argument = "N",
     .help = "add a random number up to N to max_requests"},

    {.key = "head_timeout", .type = Type::duration, .field = &Pool::head_timeout,
     .by_default = "10s", .range = any_duration,
     .help = "for a whole request head, since the connection was accepted; 0: no limit"},
    {.key = "body_timeout", .type = Type::duration, .field = &Pool::body_timeout,
     .by_default = "1m", .range = any_duration,
     .help = "between two reads of the request body; 0: no limit"},
    {.key = "send_timeout", .type = Type::duration, .field = &Pool::send_timeout,
     .by_default = "1m", .range = any_duration,
     .help = "between two writes of the reply; 0: no limit"},
    {.key = "request_timeout", .type = Type::duration, .field = &Pool::request_timeout,
     .by_default = "5m", .range = any_duration, .help = "for a whole request; 0: no limit"},
    {.key = "script_idle_timeout", .type = Type::duration, .field = &Pool::script_idle_timeout,
     .by_default = "1m", .range = any_duration,
     .help = "for a program that neither reads nor writes; 0: no limit"},
    {.key = "kill_grace", .type = Type::duration, .field = &Pool::kill_grace, .by_default = "3s",
     .range = some_duration, .help = "between SIGTERM and SIGKILL to a program"},
    {.key = "drain_time", .type = Type::duration, .field = &Pool::drain_time, .by_default = "1s",
     .range = any_duration,
     .help = "for output after the program's end, while others hold its standard output"},
    {.key = "ignore_client_abort", .type = Type::flag, .field = &Pool::ignore_client_abort,
     .by_default = "no", .help = "let the program finish when the client has left"},

    {.key = "max_params_size", .type = Type::size, .field = &Pool::max_params_size,
     .by_default = "256k", .range = {1024, 64 * megabyte}, .help = "largest request head"},
    {.key = "max_body_size", .type = Type::size, .field = &Pool::max_body_size, .by_default = "0",
     .range = any_size, .help = "largest request body; 0: no limit"},
    {.key = "max_header_size", .type = Type::size, .field = &Pool::max_header_size,
     .by_default = "64k", .range = {256, 16 * megabyte},
     .help = "largest header of a program's reply"},
    {.key = "lenient_headers", .type = Type::flag, .field = &Pool::lenient_headers,
     .by_default = "no", .help = "take a reply without a header as its body"},
    {.key = "pass_authorization", .type = Type::flag, .field = &Pool::pass_authorization,
     .by_default = "yes", .help = "pass HTTP_AUTHORIZATION to programs"},
    {.key = "local_redirect", .type = Type::flag, .field = &Pool::local_redirect,
     .by_default = "no", .help = "turn Location: /path into X-Accel-Redirect"},
    {.key = "no_new_privs", .type = Type::flag, .field = &Pool::no_new_privs, .by_default = "yes",
     .help = "programs gain no privileges by setuid files"},

    {.key = "rlimit_cpu", .type = Type::seconds, .field = &ResourceLimits::cpu, .range = {1, year},
     .help = "CPU time of a program"},
    {.key = "rlimit_as", .type = Type::size, .field = &ResourceLimits::as,
     .range = {megabyte, any_size.max}, .help = "address space of a program"},
    {.key = "rlimit_nproc", .type = Type::number, .field = &ResourceLimits::nproc,
     .range = {1, any_size.max}, .help = "processes of the pool's user"},
    {.key = "rlimit_nofile", .type = Type::number, .field = &ResourceLimits::nofile,
     .range = {8, 1 << 30}, .help = "open descriptors of a program"},
    {.key = "rlimit_fsize", .type = Type::size, .field = &ResourceLimits::fsize, .range = any_size,
     .help = "largest file that a program may write"},
    {.key = "rlimit_core", .type = Type::size, .field = &ResourceLimits::core, .range = any_size,
     .help = "largest core dump of a program"},

    {.key = "env.NAME", .type = Type::environment, .field = &Pool::env, .option = "env",
     .letter = 'e', .argument = "NAME=VALUE",
     .help = "set a variable in the programs' environment; may be repeated"},
    {.key = "script_stderr", .type = Type::choice, .field = &Pool::script_stderr,
     .by_default = "log", .choices = "log web both",
     .help = "where a program's standard error goes: error log, web server, both"},
    {.key = "access_log", .type = Type::log, .field = &Pool::access_log, .option = "access-logfile",
     .argument = "FILE", .help = "access log, - for standard output, syslog for syslog"},
    {.key = "access_log_format", .type = Type::text, .field = &Pool::access_log_format,
     .by_default = "default", .option = "access-logformat", .argument = "FORMAT",
     .help = "default, json, or a format of %(...)s atoms"},
};
// clang-format on

}  // namespace

std::span<const Setting> settings()
{
    return table;
}

}  // namespace config
