// script_fuzz.cc - script resolution against any paths, on a real directory tree. Input    byte 0:
// the rules and how SCRIPT_FILENAME begins; then SCRIPT_NAME, PATH_INFO and the rest of
// SCRIPT_FILENAME, each ended by a byte 0xff. Checks   only programs that lie beneath the root are
// ever opened; SCRIPT_NAME and PATH_INFO make up what was sent; with and without openat2 the same
// file is found.
#include "handler/cgi/script.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

class Tree {
public:
    Tree()
    {
        char name[] = "/tmp/script-fuzz.XXXXXX";
        require(::mkdtemp(name) != nullptr);
        top = name;
        root = top + "/r";
        fs::create_directories(root + "/d/e");
        fs::create_directories(top + "/r2");
        for (const char* file : {"/r/a", "/r/d/b", "/r/d/e/c", "/r/x.cgi"})
            programs.insert(add(top + file, 0755));
        add(root + "/n", 0644);
        add(top + "/r2/a", 0755);
        add(top + "/a", 0755);
        fs::create_symlink("d/b", root + "/l");         // inside
        fs::create_symlink(root + "/d", root + "/m");   // inside, absolute
        fs::create_symlink("../r2", root + "/o");       // outside
        fs::create_symlink(top, root + "/p");           // outside, absolute
        fs::create_symlink("q", root + "/q");           // a loop
        fs::create_symlink("..", root + "/d/u");        // up, but inside
        fs::create_symlink("../..", root + "/d/e/v");   // up to the root
        fs::create_symlink("../../..", root + "/d/w");  // up and out
    }
    ~Tree() { fs::remove_all(top); }
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    std::string top;
    std::string root;
    std::set<std::pair<dev_t, ino_t>> programs;

private:
    static std::pair<dev_t, ino_t> add(const std::string& path, mode_t mode)
    {
        std::ofstream(path) << "#!/bin/sh\n";
        require(::chmod(path.c_str(), mode) == 0);
        struct stat status {};
        require(::stat(path.c_str(), &status) == 0);
        return {status.st_dev, status.st_ino};
    }
};

const Tree& tree()
{
    static const Tree the_tree;
    return the_tree;
}

std::string take(std::string_view& rest)
{
    const auto end = std::min(rest.find('\xff'), rest.size());
    std::string field(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    return field;
}

std::string encode(std::string_view name, std::string_view value)
{
    std::string out;
    for (const std::size_t size : {name.size(), value.size()})
        for (const int shift : {24, 16, 8, 0})
            out += static_cast<char>((size >> shift & 0xff) | (shift == 24 ? 0x80 : 0));
    return out.append(name).append(value);
}

bool climbs(const std::string& path)
{
    const fs::path components(path);
    return std::find(components.begin(), components.end(), "..") != components.end();
}

void check_found(const cgi::Script& script, bool fixed)
{
    struct stat status {};
    require(::fstat(script.file.get(), &status) == 0);
    require(tree().programs.contains({status.st_dev, status.st_ino}));
    require(script.path.starts_with(tree().root + "/") && !climbs(script.path));
    require(script.path.find('\0') == std::string::npos);
    require(script.path_info.find('\0') == std::string::npos);
    struct stat by_path {};
    require(::stat(script.path.c_str(), &by_path) == 0 && by_path.st_ino == status.st_ino);
    const std::string parent = script.path.substr(0, script.path.rfind('/'));
    struct stat directory {};
    require(::fstat(script.directory.get(), &directory) == 0);
    require(::stat(parent.c_str(), &by_path) == 0 && by_path.st_ino == directory.st_ino);
    require(script.interpreted);
    require(!fixed || script.path == tree().root + "/x.cgi");
}

struct Request {
    explicit Request(std::uint8_t flags, std::string_view rest)
        : fixed((flags & 3) == 1), mounted((flags & 3) >= 2)
    {
        const std::string name = take(rest);
        const std::string info = take(rest);
        const std::string tail = take(rest);
        uri = name + info;
        rules.root = tree().root;
        if (fixed)
            rules.script = tree().root + "/x.cgi";
        if (mounted)
            rules.mount = (flags & 1) != 0 ? "/m" : "/";
        if ((flags & 4) != 0)
            rules.allowed_extensions = {".cgi"};
        std::string bytes = encode("SCRIPT_NAME", name) + encode("PATH_INFO", info);
        const char* const starts[] = {"", "/", "proxy:fcgi://h:1/", "proxy:unix:/s|fcgi://h/"};
        if ((flags & 8) != 0)
            bytes += encode("SCRIPT_FILENAME", starts[flags >> 4 & 3] + tree().root + tail);
        else if ((flags & 16) != 0)
            bytes += encode("SCRIPT_FILENAME", tail);
        if ((flags & 64) != 0)
            bytes += encode("DOCUMENT_ROOT", tree().root + ((flags & 128) != 0 ? "/" : ""));
        require(params.decode(bytes));
    }

    bool fixed;
    bool mounted;
    std::string uri;
    cgi::ScriptRules rules;
    fcgi::Params params;
};

void check_paths(const cgi::Script& script, const Request& request)
{
    if (request.fixed || request.mounted)
        require(script.name + script.path_info == request.uri && !climbs(script.path_info));
    if (request.mounted)
        require(script.name.starts_with(request.rules.mount));
    if (!request.rules.allowed_extensions.empty())
        require(script.path.ends_with(".cgi"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    Request request(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
    const auto found = cgi::Resolver(request.rules).resolve(request.params);
    request.rules.use_openat2 = false;
    const auto stepwise = cgi::Resolver(request.rules).resolve(request.params);
    if (!found) {
        const cgi::Refusal& refusal = found.error();
        require((refusal.status == 403 || refusal.status == 404) && !refusal.reason.empty());
        require(!stepwise);  // without openat2 no link is followed: it finds less, not more
        return 0;
    }
    check_found(found.value(), request.fixed);
    check_paths(found.value(), request);
    if (stepwise)
        require(stepwise.value().path == found.value().path &&
                stepwise.value().path_info == found.value().path_info);
    return 0;
}
