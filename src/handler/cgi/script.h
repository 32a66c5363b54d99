// script.h - finds the program that a request asks for, beneath the pool's root and nowhere else.
// Errors   Refusal: the status for the client and the reason for the log.
// Owner    the handler keeps one Resolver for each worker; a Script lives as long as its request.
// Source   RFC 3875 section 4.1; openat2(2) RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "fcgi/params.h"

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
    int status = 0;      // 400, 403, 404, 500
    std::string reason;  // for the log; never sent to the client
};

struct ScriptRules {
    std::string root;    // directory; empty when script is set
    std::string script;  // one program for every request
    std::string mount;   // URI prefix
    std::vector<std::string> allowed_paths;
    std::vector<std::string> allowed_extensions;
};

class Resolver {
public:
    // Opens the root. Throws std::system_error, with the path in its text.
    explicit Resolver(ScriptRules rules);

    Result<Script, Refusal> resolve(const fcgi::Params& params) const;

private:
    ScriptRules rules_;
    UniqueFd root_;
};

}  // namespace cgi
