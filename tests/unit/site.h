// site.h - a directory with programs, and a way to ask a Resolver which of them a request runs.
// Owner    each test makes its own Site; it is removed with it.
#pragma once

#include "handler/cgi/script.h"
#include "tests/catch.h"
#include "tests/system/support/temp_dir.h"
#include "tests/unit/wire.h"

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace programs {

using Pairs = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// The answer of a cgi::Resolver in a form that can be compared.
struct Answer {
    int status = 0;  // 200 when there is a script
    std::string path;
    std::string name;
    std::string path_info;
    bool interpreted = false;
    std::string content;    // the beginning of the file, read through the descriptor
    std::string directory;  // what the descriptor of the directory is
    std::string reason;
};

inline std::string target_of(int fd)
{
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
}

inline Answer ask(const cgi::Resolver& resolver, Pairs pairs)
{
    std::string bytes;
    for (const auto& [name, value] : pairs)
        bytes += wire::pair(name, value);
    fcgi::Params params;
    REQUIRE(params.decode(bytes));
    auto found = resolver.resolve(params);
    if (!found) {
        CHECK_FALSE(found.error().reason.empty());
        return {found.error().status, "", "", "", false, "", "", found.error().reason};
    }
    const cgi::Script& script = found.value();
    char content[64] = {};
    const ssize_t size = ::pread(script.file.get(), content, sizeof content, 0);
    CHECK((::fcntl(script.file.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(script.directory.get(), F_GETFD) & FD_CLOEXEC) != 0);
    return {200,
            script.path,
            script.name,
            script.path_info,
            script.interpreted,
            std::string(content, size > 0 ? static_cast<std::size_t>(size) : 0),
            target_of(script.directory.get()),
            ""};
}

// DIR/root with a few programs, and DIR/outside beside it.
struct Site {
    TempDir dir;
    std::string root = dir / "root";

    Site()
    {
        std::filesystem::create_directories(dir / "root/sub/deep");
        std::filesystem::create_directories(dir / "outside");
        std::filesystem::create_directories(dir / "root-outside");
        write_file(dir / "root/ok.cgi", "#!/bin/sh\necho ok\n", 0755);
        write_file(dir / "root/binary", "\177ELF", 0755);
        write_file(dir / "root/plain.txt", "secret", 0644);
        write_file(dir / "root/sub/deep/in.cgi", "#!/bin/sh\necho in\n", 0755);
        write_file(dir / "outside/evil.cgi", "#!/bin/sh\necho evil\n", 0755);
        write_file(dir / "root-outside/evil.cgi", "#!/bin/sh\necho evil\n", 0755);
    }
    Answer file(const std::string& name, cgi::ScriptRules rules = {}) const
    {
        rules.root = root;
        return ask(cgi::Resolver(rules), {{"SCRIPT_FILENAME", name}});
    }
    Answer uri(std::string_view script_name, cgi::ScriptRules rules = {}) const
    {
        rules.root = root;
        return ask(cgi::Resolver(rules), {{"DOCUMENT_ROOT", root}, {"SCRIPT_NAME", script_name}});
    }
};

inline cgi::ScriptRules with_mount(std::string mount)
{
    cgi::ScriptRules rules;
    rules.mount = std::move(mount);
    return rules;
}

inline cgi::ScriptRules without_openat2()
{
    cgi::ScriptRules rules;
    rules.use_openat2 = false;
    return rules;
}

inline bool contains(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace programs
