// settings.h - every setting of tricorn, once: the structures that hold the values, and the table
// that names them. Parser, validation, --print-config, --help and tricorn.conf(5) follow the table.
// Units    durations in milliseconds (0: no limit, where the table says so); sizes in bytes.
// Errors   set() returns what is wrong and what would be right; nothing throws.
// Source   names follow gunicorn's settings, php-fpm's pools and nginx's timeouts.
#pragma once

#include "base/clock.h"
#include "config/values.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

namespace config {

enum class HandlerKind { cgi, module };
enum class Scaling { fixed, dynamic, ondemand };
enum class Replacement { all, rolling };
enum class StderrTarget { log, web, both };

// Where the control socket is with control = auto, if it can be made there.
inline constexpr const char* default_control = TRICORN_RUNSTATEDIR "/tricorn/control.sock";

struct Global {
    std::string pid;                 // pid file, empty: none
    std::string control = "auto";    // tricornctl's socket, "auto": default_control; empty: none
    std::string error_log = "-";     // "-": stderr; else a file
    std::string log_level = "info";  // debug, info, warning, error, critical
    bool log_syslog = false;         // error log to syslog instead
    bool daemon = false;
    bool allow_root = false;  // pools may run as root
    int max_processes = 0;    // workers of all pools; 0: no limit

    // Commands for /bin/sh at events of the server; empty: none.
    std::string on_ready;
    std::string on_reload;
    std::string on_worker_exit;
    std::string on_stop;
    Duration hook_timeout{30'000};
};

// Limits of the kernel for each program, or for the worker when the handler runs in it,
// setrlimit(2); empty: as the server was started.
struct ResourceLimits {
    std::optional<std::uint64_t> cpu;     // seconds
    std::optional<std::uint64_t> as;      // bytes
    std::optional<std::uint64_t> nproc;   // processes of the user
    std::optional<std::uint64_t> nofile;  // descriptors
    std::optional<std::uint64_t> fsize;   // bytes
    std::optional<std::uint64_t> core;    // bytes

    bool operator==(const ResourceLimits&) const = default;
};

// What each of them is to the administrator and to the kernel.
struct ResourceLimit {
    const char* key;
    __rlimit_resource_t resource;
    std::optional<std::uint64_t> ResourceLimits::*value;
};
inline constexpr ResourceLimit resource_limits[] = {
    {"rlimit_cpu", RLIMIT_CPU, &ResourceLimits::cpu},
    {"rlimit_as", RLIMIT_AS, &ResourceLimits::as},
    {"rlimit_nproc", RLIMIT_NPROC, &ResourceLimits::nproc},
    {"rlimit_nofile", RLIMIT_NOFILE, &ResourceLimits::nofile},
    {"rlimit_fsize", RLIMIT_FSIZE, &ResourceLimits::fsize},
    {"rlimit_core", RLIMIT_CORE, &ResourceLimits::core},
};

struct Pool {
    std::string name;

    HandlerKind handler = HandlerKind::cgi;
    std::string root;                             // directory beneath which programs lie
    std::string script;                           // one program for every request
    std::string module;                           // shared object of handler = module
    std::string mount;                            // URI prefix that maps to root or script
    std::vector<std::string> allowed_paths;       // fnmatch(3) patterns of whole paths; empty: all
    std::vector<std::string> allowed_extensions;  // ".cgi" ".pl"; empty: all
    bool owner_check = false;                     // suexec's rules for programs

    std::vector<std::string> bind;  // addresses as written
    int backlog = 2048;
    mode_t listen_mode = 0660;
    std::string listen_owner;
    std::string listen_group;
    std::vector<std::string> allowed_clients;  // addresses and networks, for TCP; empty: all
    std::vector<std::string> allowed_users;    // names and numbers, for Unix sockets; empty: all

    std::string user;
    std::string group;
    std::string chroot;  // root directory of workers and programs; paths above lie inside
    std::string chdir;   // working directory of workers
    mode_t umask = 022;
    std::optional<int> nice;  // empty: as the server was started

    int workers = 0;  // set by finish(): 2 x CPUs + 1, at least 2, at most 32
    std::string worker_class = "sync";
    Scaling scaling = Scaling::fixed;  // unless it is that, workers is what there may be
    int min_spare = 1;                 // dynamic: idle workers
    int max_spare = 3;
    int start_workers = 0;          // dynamic; 0: half way from min_spare to max_spare
    int max_spawn_rate = 32;        // dynamic: new workers a second
    Duration idle_timeout{10'000};  // ondemand: an idle worker ends
    Duration boot_timeout{30'000};  // of a worker
    Duration timeout{30'000};       // silent worker
    Duration graceful_timeout{30'000};
    std::uint64_t max_requests = 0;  // 0: no limit
    std::uint64_t max_requests_jitter = 0;
    Duration max_worker_age{0};           // 0: no limit
    std::uint64_t max_worker_memory = 0;  // resident bytes; 0: no limit
    int recycle_share = 25;               // percent of the workers, at least one, at once
    Replacement reload = Replacement::all;

    Duration queue_timeout{0};             // wait before the accept; 0: no limit
    Duration head_timeout{10'000};         // whole request head since accept
    Duration body_timeout{60'000};         // between two reads of the request body
    Duration send_timeout{60'000};         // between two writes of the reply
    Duration request_timeout{300'000};     // whole request, since its head was there
    Duration script_idle_timeout{60'000};  // program neither reads nor writes
    Duration kill_grace{3'000};            // TERM to KILL
    Duration drain_time{1'000};            // program has exited, its stdout is still held open
    bool ignore_client_abort = false;      // let the program finish when the client has left

    std::uint64_t max_params_size = 256 << 10;
    std::uint64_t max_body_size = 0;           // 0: no limit
    std::uint64_t max_header_size = 64 << 10;  // of the program's reply
    bool lenient_headers = false;              // a reply without a header is taken as body
    bool pass_authorization = true;            // HTTP_AUTHORIZATION reaches the program
    bool local_redirect = false;               // Location: /path becomes X-Accel-Redirect
    bool no_new_privs = true;
    ResourceLimits rlimits;

    std::map<std::string, std::string> env;  // env.NAME
    StderrTarget script_stderr = StderrTarget::log;
    std::string access_log;                     // empty: none; "-": stdout; "syslog"; else a file
    std::string access_log_format = "default";  // "default", "json" or atoms

    bool operator==(const Pool&) const = default;
};

struct Config {
    Global global;
    std::vector<Pool> pools;
};

enum class Scope { global, pool };

// How a value is written. text: as it is; path: made absolute, unless it is the default; log: a
// path or "-" or "syslog"; seconds: a duration kept in whole seconds; words: several values;
// address: words for bind; nice: a number that may be negative.
enum class Type {
    text,
    path,
    log,
    number,
    nice,
    size,
    duration,
    seconds,
    mode,
    flag,
    choice,
    words,
    address,
    environment,
    include
};

using Environment = std::map<std::string, std::string>;

// Where a value is kept. The alternative in use says which structure a setting belongs to.
using Field = std::variant<std::monostate,
                           std::string Global::*,
                           bool Global::*,
                           int Global::*,
                           Duration Global::*,
                           HandlerKind Pool::*,
                           Scaling Pool::*,
                           Replacement Pool::*,
                           StderrTarget Pool::*,
                           std::string Pool::*,
                           std::vector<std::string> Pool::*,
                           int Pool::*,
                           std::optional<int> Pool::*,
                           std::uint64_t Pool::*,
                           mode_t Pool::*,
                           Duration Pool::*,
                           bool Pool::*,
                           Environment Pool::*,
                           std::optional<std::uint64_t> ResourceLimits::*>;

// A row of the table.
struct Setting {
    std::string_view key;
    Scope scope = Scope::pool;
    Type type = Type::text;
    Field field = {};
    std::string_view by_default = {};  // as written in a file; empty: none
    Range range = {};                  // of numbers, sizes (bytes) and durations (milliseconds)
    std::string_view choices = {};     // words of a choice
    std::string_view option = {};      // long command-line option; empty: only by --set
    char letter = 0;                   // short option
    std::string_view argument = {};    // what --help calls the option's value
    std::string_view help = {};
};

// How many workers a dynamic pool begins with.
int start_workers(const Pool& pool);

// The table, in the order of --print-config and of the manual page.
std::span<const Setting> settings();

// The row of a key ("env.NAME" finds the row "env.NAME"); null when there is none.
const Setting* find_setting(Scope scope, std::string_view key);

// The key of the scope that is most like `key`; empty when none is near.
std::string_view nearest_key(Scope scope, std::string_view key);

// What find_setting() looks at: "NAME" of "env.NAME", empty for other keys.
std::string_view environment_name(std::string_view key);

// True for settings that take several values: those of one source add up.
bool takes_several(const Setting& setting);

// The structures that a value is written to or read from; the one of the setting's scope is used.
struct Target {
    Global* global = nullptr;
    Pool* pool = nullptr;
};

// Parses and stores a value; for settings that take several, adds to what is there, or clears it
// when the value is empty. Returns what is wrong and what would be right.
std::optional<std::string> set(const Setting& setting,
                               std::string_view key,
                               std::string_view value,
                               Target target);

// The value as a file would write it; of environment, the variable that `key` names.
std::string format(const Setting& setting, std::string_view key, Target target);

}  // namespace config
