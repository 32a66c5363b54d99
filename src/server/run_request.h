// run_request.h - builds a CGI request out of a shell's environment, as a web server would send it.
// Pure: text in, text out.
// Errors   none: what is wrong with a request is for the handler to say.
// Owner    run_once().
// Source   RFC 3875 section 4.1; what nginx's fastcgi_params sends.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace server {

using Variables = std::map<std::string, std::string>;

// The variables of the shell that mean something to a request, and nothing else of it.
Variables request_variables(const char* const* environment);

// How much of a body the request has: nullopt: none; npos: all that there is.
std::optional<std::size_t> body_limit(const Variables& shell);

// A program, as the web server would name it.
struct ProgramName {
    std::string file;           // SCRIPT_FILENAME
    std::string uri;            // SCRIPT_NAME
    std::string document_root;  // DOCUMENT_ROOT
};

// `body`: its size, when there is one. What the shell says wins over defaults, but not over the
// name of the program. Meta-variables that the handler has a default for are left to it.
Variables build_request(const Variables& shell,
                        const ProgramName& program,
                        std::optional<std::size_t> body);

}  // namespace server
