// environment.h - builds the environment of a CGI program from the request's parameters. Pure: no
// I/O, nothing of the server's own environment.
// Units    one variable for each name, sorted by name, so that it is always the same.
// Errors   what may not pass is left out; a missing or wrong meta-variable that makes the request
//          unusable is a Refusal (400).
// Owner    the caller; it must live until the program has been started.
// Source   RFC 3875 section 4.1; httpoxy (CVE-2016-5385); suexec's list of safe variables.
#pragma once

#include "base/result.h"
#include "fcgi/params.h"
#include "handler/cgi/script.h"

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cgi {

struct EnvironmentRules {
    std::map<std::string, std::string> env;  // env.NAME of the pool, wins over all
    bool pass_authorization = true;
};

// A block for execve(2): "NAME=value" strings and the pointers to them.
class Environment {
public:
    using Variable = std::pair<std::string_view, std::string_view>;

    explicit Environment(std::span<const Variable> variables);
    Environment(const Environment&) = delete;  // pointers_ point into block_
    Environment& operator=(const Environment&) = delete;
    Environment(Environment&&) = default;  // a moved vector keeps its memory
    Environment& operator=(Environment&&) = default;
    ~Environment() = default;

    char* const* envp() const { return pointers_.data(); }
    std::vector<std::string_view> entries() const;

private:
    std::vector<char> block_;
    std::vector<char*> pointers_;
};

Result<Environment, Refusal> build_environment(const fcgi::Params& params,
                                               const Script& script,
                                               const EnvironmentRules& rules);

}  // namespace cgi
