#include "handler/cgi/script.h"

#include "base/error.h"
#include "base/text.h"
#include "log/log.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <exception>
#include <filesystem>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cgi {

namespace {

Refusal not_found(const std::string& what)
{
    return {404, what};
}

// A component is not there, or is a file: a shorter path may be the script.
bool look_higher(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG;
}

Refusal refusal_for(int error, const std::string& path)
{
    const std::string text = text::in_quotes(path) + ": ";
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG: return not_found(text + "not found");
    case ELOOP: return not_found(text + errno_text(error));
    case EXDEV: return {403, text + "a symbolic link leads out of the root"};
    case ENXIO:
    case ENODEV: return {403, text + "is not a regular file"};
    case EACCES:
    case EPERM: return {403, text + errno_text(error)};
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EINTR:
    case EAGAIN: return {503, text + errno_text(error)};
    default: return {500, text + errno_text(error)};
    }
}

bool executable(int file, mode_t mode)
{
    if (::faccessat(file, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) == 0)
        return true;
    // Where the kernel or a container's filter does not know the call, execve(2) has the last word.
    return errno != EACCES && (mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
}

bool begins_with_shebang(int file)
{
    char magic[2] = {};
    return ::pread(file, magic, sizeof magic, 0) == 2 && magic[0] == '#' && magic[1] == '!';
}

std::string directory_of(const std::string& path, const std::string& otherwise)
{
    const auto slash = path.rfind('/');
    if (slash == std::string::npos)
        return otherwise;
    return path.substr(0, std::max<std::size_t>(slash, path.starts_with('/') ? 1 : 0));
}

std::string uri_path(const fcgi::Params& params)
{
    return std::string(params.get("SCRIPT_NAME")).append(params.get("PATH_INFO"));
}

ScriptRules normalised(ScriptRules rules)
{
    if (!rules.script.empty())
        rules.script = std::filesystem::absolute(rules.script).string();
    if (!rules.mount.empty() && !rules.mount.starts_with('/'))
        rules.mount.insert(0, "/");
    return rules;
}

}  // namespace

Resolver::Resolver(ScriptRules rules)
    : rules_(normalised(std::move(rules))), mounted_(!rules_.mount.empty()),
      root_(rules_.script.empty() ? rules_.root : directory_of(rules_.script, "/"),
            rules_.use_openat2)
{
    while (rules_.mount.ends_with('/'))
        rules_.mount.pop_back();
}

void Resolver::follow_root()
{
    if (!rules_.script.empty() || !root_.replaced())
        return;
    try {
        root_ = Root(rules_.root, rules_.use_openat2);
    } catch (const std::exception& error) {
        logging::warning("%s; the directory that was there before stays in use", error.what());
    }
}

Result<Script, Refusal> Resolver::resolve(const fcgi::Params& params) const
{
    for (const char* name : {"SCRIPT_FILENAME", "SCRIPT_NAME", "PATH_INFO", "DOCUMENT_ROOT"})
        if (params.get(name).find('\0') != std::string_view::npos)
            return not_found(std::string(name) + " holds a NUL byte");
    if (!rules_.script.empty())
        return fixed(params);
    return mounted_ ? mounted(params) : named(params);
}

// What of the URI path follows the mount.
Result<std::string_view, Refusal> Resolver::behind_mount(std::string_view uri) const
{
    const auto rest = beneath_mount(rules_.mount, uri);
    if (!rest)
        return not_found("the path " + text::in_quotes(uri) + " is not beneath the mount " +
                         text::in_quotes(rules_.mount));
    if (has_dot_dot(*rest))
        return not_found("the path " + text::in_quotes(uri) + " has a '..' component");
    return *rest;
}

// script = PATH: the administrator has named the program, so that nothing has to confine it. It
// is opened by its path each time: a new release may have replaced it, or its directory.
Result<Script, Refusal> Resolver::fixed(const fcgi::Params& params) const
{
    const std::string uri = uri_path(params);
    const auto rest = behind_mount(uri);
    if (!rest)
        return rest.error();
    auto script = look_at(rules_.script, true);
    if (!script)
        return refusal_for(ENOENT, rules_.script);
    if (*script) {
        script->value().name = rules_.mount;
        script->value().path_info = rest.value();
    }
    return std::move(*script);
}

// mount = PREFIX: the rest of the URI path is a path beneath the root.
Result<Script, Refusal> Resolver::mounted(const fcgi::Params& params) const
{
    const std::string uri = uri_path(params);
    const auto rest = behind_mount(uri);
    if (!rest)
        return rest.error();
    auto script = find(SentPath(rest.value()));
    if (script)
        script->name = uri.substr(0, uri.size() - script->path_info.size());
    return script;
}

// SCRIPT_FILENAME, or DOCUMENT_ROOT and SCRIPT_NAME.
Result<Script, Refusal> Resolver::named(const fcgi::Params& params) const
{
    const std::string_view uri = params.get("SCRIPT_NAME");
    std::string file = decoded_like(without_proxy(params.get("SCRIPT_FILENAME")), uri);
    if (params.get("SCRIPT_FILENAME").empty()) {
        if (uri.empty())
            return not_found("the web server sent neither SCRIPT_FILENAME nor SCRIPT_NAME");
        const std::string_view documents = params.get("DOCUMENT_ROOT");
        file = documents.empty() ? root_.path() : std::string(documents);
        file.append(uri.starts_with('/') ? "" : "/").append(uri);
    }
    if (!file.starts_with('/'))
        return not_found("the script " + text::in_quotes(file) + " is not an absolute path");
    if (has_dot_dot(file))
        return not_found("the path " + text::in_quotes(file) + " has a '..' component");
    SentPath path(file);
    const auto inside = root_.relative(path.name);
    if (!inside)
        return Refusal{
            403, text::in_quotes(file) + " is outside the root " + text::in_quotes(root_.path())};
    path.skip(path.name.size() - inside->size());
    auto script = find(std::move(path));
    if (script)
        split(script.value(), uri, params.get("PATH_INFO"));
    return script;
}

// The web server may have found the script's end already, or not, or in another place.
void Resolver::split(Script& script, std::string_view uri, std::string_view sent)
{
    const std::string tail = std::exchange(script.path_info, std::string(sent));
    if (uri.ends_with(tail)) {
        uri.remove_suffix(tail.size());
        script.path_info.insert(0, tail);
    } else if (!sent.ends_with(tail)) {
        script.path_info = tail;
    }
    script.name = uri;
}

// Walks up from the whole path to the first file that there is. The answer's path_info is what
// was sent after the script.
Result<Script, Refusal> Resolver::find(SentPath path) const
{
    const std::string asked = root_.path() + "/" + path.name;
    for (std::size_t i = path.ends.size(); i > 0; --i) {
        const SentPath::End end = path.ends[i - 1];
        const bool whole = i == path.ends.size();
        path.name.resize(end.name);
        auto script = look_at(path.name, whole);
        if (!script)
            continue;
        if (*script)
            script->value().path_info = path.raw.substr(end.raw);
        else if (!whole && script->error().status == 404)
            break;
        return std::move(*script);
    }
    if (path.ends.empty())
        return Refusal{403, text::in_quotes(root_.path()) + ": is a directory"};
    return refusal_for(ENOENT, asked);
}

// nullopt: not here, look higher up. `whole`: nothing of the path is left after `name`.
std::optional<Result<Script, Refusal>> Resolver::look_at(const std::string& name, bool whole) const
{
    if (name.size() >= PATH_MAX)
        return std::nullopt;
    Script script;
    // A FIFO must not block us, a terminal not become ours.
    script.file = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int error = script.file ? 0 : errno;
    if (error == EACCES) {  // a program need not be readable
        script.file = open(name, O_PATH | O_CLOEXEC);
        error = script.file ? 0 : errno;
    }
    if (look_higher(error))
        return std::nullopt;
    script.path = name.starts_with('/') ? name : root_.path() + "/" + name;
    if (error != 0)
        return refusal_for(error, script.path);
    if (auto refusal = check(script, whole))
        return std::move(*refusal);
    script.interpreted = begins_with_shebang(script.file.get());
    script.directory = open(directory_of(name, "."), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!script.directory)
        return refusal_for(errno, script.path);
    if (!rules_.owner)
        return script;
    if (const auto wrong =
            check_owner(*rules_.owner, script.file.get(), script.directory.get(), script.path))
        return Refusal{403, text::in_quotes(script.path) + ": owner_check: " + *wrong};
    return script;
}

std::optional<Refusal> Resolver::check(const Script& script, bool whole) const
{
    struct stat status {};
    if (::fstat(script.file.get(), &status) != 0)
        return refusal_for(errno, script.path);
    if (S_ISDIR(status.st_mode) && !whole)
        return refusal_for(ENOENT, script.path);
    if (S_ISDIR(status.st_mode))
        return Refusal{403, text::in_quotes(script.path) + ": is a directory"};
    if (!S_ISREG(status.st_mode))
        return refusal_for(ENXIO, script.path);
    if (!executable(script.file.get(), status.st_mode))
        return Refusal{403,
                       text::in_quotes(script.path) + ": is not executable by the pool's user"};
    if (!allowed(script.path))
        return Refusal{
            403, text::in_quotes(script.path) + ": not in allowed_paths or allowed_extensions"};
    return std::nullopt;
}

UniqueFd Resolver::open(const std::string& name, int flags) const
{
    if (name.starts_with('/'))  // rules_.script; names beneath the root are relative
        return UniqueFd(::open(name.c_str(), flags));
    return root_.open(name, flags);
}

bool Resolver::allowed(const std::string& path) const
{
    const auto& paths = rules_.allowed_paths;
    const auto& extensions = rules_.allowed_extensions;
    const auto matches = [&](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0;
    };
    const auto ends = [&](const std::string& extension) { return path.ends_with(extension); };
    return (paths.empty() || std::any_of(paths.begin(), paths.end(), matches)) &&
           (extensions.empty() || std::any_of(extensions.begin(), extensions.end(), ends));
}

}  // namespace cgi
