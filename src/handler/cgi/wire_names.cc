#include "handler/cgi/wire_names.h"

#include "base/text.h"

#include <algorithm>
#include <iterator>

namespace cgi {

namespace {

// Names that begin so.
constexpr std::string_view prefixes[] = {
    "BASH_",      // BASH_ENV is sourced, BASH_FUNC_x%% are functions, BASH_LOADABLES_PATH
    "BUNDLE_",    // Ruby's bundler: which gems are loaded
    "CORECLR_",   // .NET: loads profilers
    "DOTNET_",    // .NET: DOTNET_STARTUP_HOOKS
    "GEM_",       // Ruby: where libraries come from
    "LD_",        // the dynamic loader
    "LISTEN_",    // ours: descriptors of systemd's socket activation
    "LUA_",       // LUA_INIT is run, LUA_PATH is searched
    "MALLOC_",    // glibc
    "OPENSSL_",   // OPENSSL_CONF and OPENSSL_MODULES load code
    "PERL",       // PERL5OPT, PERL5LIB, PERLLIB, PERL5DB, PERLIO ...
    "PYTHON",     // PYTHONPATH, PYTHONHOME, PYTHONSTARTUP, PYTHONWARNINGS ...
    "RESOLV_",    // glibc's resolver
    "RUBY",       // RUBYOPT, RUBYLIB, RUBYSHELL ...
    "WATCHDOG_",  // ours: systemd
};

constexpr std::string_view names[] = {
    // Forced, or ours alone.
    "FCGI_ROLE",
    "FCGI_WEB_SERVER_ADDRS",
    "GATEWAY_INTERFACE",
    "NOTIFY_SOCKET",
    "PATH",
    // What the C library ignores in set-user-id programs.
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "NIS_PATH",
    "NLSPATH",
    "RES_OPTIONS",
    "TMPDIR",
    "TZDIR",
    // Shells.
    "BASHOPTS",
    "CDPATH",
    "ENV",
    "FPATH",
    "GLOBIGNORE",
    "IFS",
    "PROMPT_COMMAND",
    "PS4",
    "SHELLOPTS",
    "ZDOTDIR",
    // Interpreters. NODE_ENV and the like only tell the program something and pass.
    "AWKPATH",
    "AWKLIBPATH",
    "CAML_LD_LIBRARY_PATH",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_EXTRA_CA_CERTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PHPRC",
    "PHP_ADMIN_VALUE",
    "PHP_INI_SCAN_DIR",
    "PHP_VALUE",
    "TCLLIBPATH",
    "TCL_LIBRARY",
    "_JAVA_OPTIONS",
    // The web server speaks of the body in CONTENT_LENGTH and CONTENT_TYPE.
    "HTTP_CONTENT_LENGTH",
    "HTTP_CONTENT_TYPE",
};

// A client's field "Proxy" arrives as HTTP_PROXY, and HTTP libraries read that as their proxy.
// They look at some of these in small letters too.
constexpr std::string_view proxies[] = {
    "ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"};

}  // namespace

bool is_variable_name(std::string_view name)
{
    return !name.empty() && std::none_of(name.begin(), name.end(), [](char c) {
        return c == '=' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

bool may_come_from_wire(std::string_view name)
{
    return std::none_of(std::begin(prefixes),
                        std::end(prefixes),
                        [&](std::string_view prefix) { return name.starts_with(prefix); }) &&
           std::find(std::begin(names), std::end(names), name) == std::end(names) &&
           std::none_of(std::begin(proxies), std::end(proxies), [&](std::string_view proxy) {
               return text::equal_ignoring_case(name, proxy);
           });
}

}  // namespace cgi
