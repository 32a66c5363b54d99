// script.h - finds the program that a request asks for, beneath the pool's root and nowhere else.
// Errors   Refusal: the status for the client and the reason for the log. The constructor throws
//          StartError, with the path in its text.
// Owner    the handler keeps one Resolver for each worker; a Script lives as long as its request.
// Source   RFC 3875 section 4.1; openat2(2) RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "fcgi/params.h"
#include "handler/cgi/owner.h"
#include "handler/cgi/root.h"
#include "handler/cgi/sent_path.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cgi {

struct Script {
    UniqueFd file;             // opened beneath the root; what was checked is what is run
    UniqueFd directory;        // the script's directory, for fchdir(2)
    std::string path;          // absolute, for argv[0], messages and '#!' interpreters
    std::string name;          // SCRIPT_NAME
    std::string path_info;     // PATH_INFO, empty: none
    bool interpreted = false;  // begins with "#!": the kernel hands the path to an interpreter
};

struct Refusal {
    int status = 0;      // 400, 403, 404, 500, 503
    std::string reason;  // for the log; never sent to the client
};

struct ScriptRules {
    std::string root;                             // directory; empty when script is set
    std::string script;                           // one program for every request
    std::string mount;                            // URI prefix; "/" maps every URI path to the root
    std::vector<std::string> allowed_paths;       // fnmatch(3); '*' does not match a slash
    std::vector<std::string> allowed_extensions;  // ".cgi", compared byte by byte
    std::optional<Owner> owner = {};              // of programs, by suexec's rules; empty: anybody
    bool use_openat2 = true;                      // false: as on a kernel without it
};

class Resolver {
public:
    explicit Resolver(ScriptRules rules);

    // Goes over to the directory that has been put in the root's place, if there is one: scripts
    // are run by their path, and must be those that were looked at. One that cannot be opened is
    // logged, and the old one stays in use.
    void follow_root();

    Result<Script, Refusal> resolve(const fcgi::Params& params) const;

private:
    Result<Script, Refusal> fixed(const fcgi::Params& params) const;
    Result<Script, Refusal> mounted(const fcgi::Params& params) const;
    Result<Script, Refusal> named(const fcgi::Params& params) const;

    Result<std::string_view, Refusal> behind_mount(std::string_view uri) const;
    Result<Script, Refusal> find(SentPath path) const;
    std::optional<Result<Script, Refusal>> look_at(const std::string& name, bool whole) const;
    std::optional<Refusal> check(const Script& script, bool whole) const;
    static void split(Script& script, std::string_view uri, std::string_view sent);
    UniqueFd open(const std::string& name, int flags) const;
    bool allowed(const std::string& path) const;

    ScriptRules rules_;
    bool mounted_;  // the URI path is looked up, not SCRIPT_FILENAME
    Root root_;
};

}  // namespace cgi
