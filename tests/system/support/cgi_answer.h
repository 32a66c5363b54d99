// cgi_answer.h - takes the bytes of a CGI response apart, as a web server does, but strictly.
// Errors   throws std::runtime_error when there is no header block.
// Source   RFC 3875 section 6.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct CgiAnswer {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;

    // The first field of that name, whatever its case.
    std::optional<std::string> header(std::string_view name) const;
    std::vector<std::string> all(std::string_view name) const;
};

CgiAnswer parse_answer(std::string_view output);

// What the program `act` prints: NAME=VALUE entries that end in NUL.
std::vector<std::pair<std::string, std::string>> parse_entries(std::string_view body);
std::string entry(std::string_view body,
                  std::string_view name,
                  std::string_view absent = "(absent)");
