// sent_path.h - paths as web servers send them: text only, nothing here looks at a file.
// Units    offsets in bytes; nothing is decoded, no letter is folded.
// Errors   none: an empty answer where there is none.
// Source   RFC 3875 section 4.1.5; CVE-2026-24895 for what folding does to a split.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cgi {

// A path and where its components end: what is before the script and what follows it can then be
// told apart without losing a byte of either.
struct SentPath {
    struct End {
        std::size_t name;  // where a component ends in name
        std::size_t raw;   // and in raw
    };
    std::string_view raw;
    std::string name;  // without "" and "." components, no slash at the front
    std::vector<End> ends;

    explicit SentPath(std::string_view sent);

    // Drops the first bytes of the name: the components of the root.
    void skip(std::size_t bytes);
};

bool has_dot_dot(std::string_view path);

// "proxy:fcgi://host:port/path", "proxy:balancer://name/path" and
// "proxy:unix:/socket|fcgi://host/path" are how Apache's proxy names files; a rewrite rule may
// leave the query there. Other names are answered as they are.
std::string_view without_proxy(std::string_view file);

// Apache's ProxyPass sends SCRIPT_FILENAME percent-encoded and SCRIPT_NAME not. Decodes the end of
// `file` where that makes it the end of `uri`, and nowhere else: decoding what the web server has
// decoded already would open a way around its access rules (%2573ecret.cgi).
std::string decoded_like(std::string_view file, std::string_view uri);

// What follows `mount` in a URI path, "" or "/...". nullopt when it is another path.
std::optional<std::string_view> beneath_mount(std::string_view mount, std::string_view path);

}  // namespace cgi
