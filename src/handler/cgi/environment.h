// environment.h - builds the environment of a CGI program from the request's parameters.
// Pure: no I/O, nothing of the server's own environment.
// Errors   nullopt-free: what may not pass is left out; a missing or wrong meta-variable that makes
//          the request unusable is a Refusal (400).
// Source   RFC 3875 section 4.1; httpoxy (CVE-2016-5385); suexec's list of safe variables.
#pragma once

#include "base/result.h"
#include "fcgi/params.h"
#include "handler/cgi/script.h"

#include <map>
#include <string>
#include <vector>

namespace cgi {

struct EnvironmentRules {
    std::map<std::string, std::string> env;  // env.NAME of the pool, wins over all
    bool pass_authorization = true;
};

// A block for execve(2): "NAME=value" strings and the pointers to them.
class Environment {
public:
    explicit Environment(std::vector<std::string> entries);
    char* const* envp() const { return pointers_.data(); }
    const std::vector<std::string>& entries() const { return entries_; }

private:
    std::vector<std::string> entries_;
    std::vector<char*> pointers_;
};

Result<Environment, Refusal> build_environment(const fcgi::Params& params,
                                               const Script& script,
                                               const EnvironmentRules& rules);

}  // namespace cgi
