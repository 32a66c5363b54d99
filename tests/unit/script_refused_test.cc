// script_refused_test.cc - all the ways to ask for a program that may not run.
#include "base/error.h"
#include "handler/cgi/script.h"
#include "tests/catch.h"
#include "tests/unit/site.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

using cgi::Resolver;
using cgi::ScriptRules;
using namespace programs;
using namespace std::string_literals;

namespace {

// Runs as somebody without root's privileges for a while.
class AsNobody {
public:
    AsNobody() : uid_(::geteuid())
    {
        if (uid_ == 0)
            REQUIRE(::seteuid(65'534) == 0);
    }
    AsNobody(const AsNobody&) = delete;
    AsNobody& operator=(const AsNobody&) = delete;
    ~AsNobody()
    {
        if (uid_ == 0 && ::seteuid(uid_) != 0)
            std::abort();
    }

private:
    uid_t uid_;
};

}  // namespace

// --- what may not run
// -----------------------------------------------------------------------------

TEST_CASE("script: a missing script is a 404", "[script]")
{
    const Site site;
    for (const char* name : {"/missing.cgi", "/sub/missing.cgi", "/no/such/dir/x.cgi", "/OK.CGI"}) {
        INFO(name);
        const auto answer = site.uri(name);
        CHECK(answer.status == 404);
        CHECK(contains(answer.reason, name));
    }
}

TEST_CASE("script: a directory is a 403", "[script]")
{
    const Site site;
    for (const char* name : {"/", "/sub", "/sub/", "/sub/deep//", "/sub/."}) {
        INFO(name);
        CHECK(site.uri(name).status == 403);
    }
    CHECK(site.file(site.root).status == 403);
}

TEST_CASE("script: a file that is not executable is a 403", "[script]")
{
    const Site site;
    CHECK(site.uri("/plain.txt").status == 403);
    CHECK(contains(site.uri("/plain.txt").reason, "not executable"));
    // Also when a path follows that looks like a program's (fix_pathinfo).
    CHECK(site.uri("/plain.txt/x.cgi").status == 403);
}

TEST_CASE("script: execute permission counts for the user who runs it", "[script]")
{
    const Site site;
    write_file(site.root + "/others", "#!/bin/sh\n", 0755);
    write_file(site.root + "/mine", "#!/bin/sh\n", 0744);
    if (::geteuid() != 0)
        SKIP_TEST("needs root to be two users");
    const AsNobody nobody;
    CHECK(site.uri("/others").status == 200);
    CHECK(site.uri("/mine").status == 403);
}

TEST_CASE("script: a program that can be run but not read is found", "[script]")
{
    const Site site;
    write_file(site.root + "/secret", "\177ELF", 0111);
    const AsNobody nobody;
    const auto answer = site.uri("/secret");
    CHECK(answer.status == 200);
    CHECK_FALSE(answer.interpreted);
}

TEST_CASE("script: a directory that may not be searched is a 403", "[script]")
{
    const Site site;
    std::filesystem::permissions(site.root + "/sub", std::filesystem::perms::none);
    {
        const AsNobody nobody;
        CHECK(site.uri("/sub/deep/in.cgi").status == 403);
        CHECK(site.uri("/sub/deep/in.cgi/x", without_openat2()).status == 403);
    }
    std::filesystem::permissions(site.root + "/sub", std::filesystem::perms::owner_all);
}

TEST_CASE("script: a FIFO and a socket are refused at once", "[script]")
{
    const Site site;
    REQUIRE(::mkfifo((site.root + "/fifo").c_str(), 0777) == 0);
    REQUIRE(::mknod((site.root + "/sock").c_str(), S_IFSOCK | 0777, 0) == 0);
    CHECK(site.uri("/fifo").status == 403);
    CHECK(site.uri("/sock").status == 403);
    CHECK(site.uri("/fifo/x").status == 403);
}

TEST_CASE("script: paths outside the root are a 403", "[script]")
{
    const Site site;
    for (const std::string& file : {"/usr/bin/env"s,
                                    "/bin/sh"s,
                                    site.dir / "outside/evil.cgi",
                                    site.dir / "root-outside/evil.cgi",
                                    site.dir.path(),
                                    "/"s,
                                    site.root.substr(0, site.root.size() - 1)}) {
        INFO(file);
        CHECK(site.file(file).status == 403);
    }
    CHECK(ask(Resolver({site.root, "", "", {}, {}}),
              {{"DOCUMENT_ROOT", site.dir.path()}, {"SCRIPT_NAME", "/outside/evil.cgi"}})
              .status == 403);
}

TEST_CASE("script: a double dot component is a 404 wherever it leads", "[script]")
{
    const Site site;
    for (const char* name : {"/../outside/evil.cgi",
                             "/sub/../ok.cgi",
                             "/..",
                             "/ok.cgi/..",
                             "/ok.cgi/../ok.cgi",
                             "////plain.txt/../ok.cgi",
                             "/missing/../ok.cgi"}) {
        INFO(name);
        const auto answer = site.uri(name);
        CHECK(answer.status == 404);
        CHECK(contains(answer.reason, "'..'"));
        CHECK(site.file(site.root + name).status == 404);
        CHECK(site.uri("/cgi-bin"s + name, with_mount("/cgi-bin")).status == 404);
    }
    write_file(site.root + "/..cgi", "#!/bin/sh\n", 0755);
    write_file(site.root + "/a..", "#!/bin/sh\n", 0755);
    CHECK(site.uri("/..cgi").status == 200);
    CHECK(site.uri("/a../...").status == 200);
}

TEST_CASE("script: a NUL byte in a path is a 404", "[script]")
{
    const Site site;
    CHECK(site.file(site.root + "/ok.cgi\0"s).status == 404);
    CHECK(site.file(site.root + "/plain.txt\0.cgi"s).status == 404);
    CHECK(site.uri("/ok.cgi\0.txt"s).status == 404);
    const Resolver resolver({site.root, "", "", {}, {}});
    CHECK(ask(resolver, {{"SCRIPT_NAME", "/ok.cgi"}, {"PATH_INFO", "/\0"s}}).status == 404);
    CHECK(
        ask(resolver, {{"SCRIPT_NAME", "/ok.cgi"}, {"DOCUMENT_ROOT", site.root + "\0"s}}).status ==
        404);
}

TEST_CASE("script: names that are too long are a 404", "[script]")
{
    const Site site;
    const std::string component(300, 'x');
    std::string path;
    while (path.size() < 5'000)
        path += "/component";
    for (const std::string& name : {"/" + component, path, path + "/ok.cgi", "/sub" + path}) {
        CHECK(site.uri(name).status == 404);
        CHECK(site.file(site.root + name).status == 404);
        CHECK(site.uri(name, without_openat2()).status == 404);
    }
    // But a program may be sent a long PATH_INFO.
    CHECK(site.uri("/ok.cgi/" + component).path_info == "/" + component);
    CHECK(site.uri("/ok.cgi" + path).path_info == path);
}

TEST_CASE("script: names are bytes and mean nothing to a shell", "[script]")
{
    const Site site;
    for (const std::string name : {"$(id).cgi",
                                   "a b;c|d&e.cgi",
                                   "'q\"`.cgi",
                                   "-rf.cgi",
                                   "*.cgi",
                                   "\xc3\xbc\xff.cgi",
                                   "a\nb"}) {
        INFO(name);
        write_file(site.root + "/" + name, "#!/bin/sh\n" + name, 0755);
        const auto answer = site.uri("/" + name);
        CHECK(answer.path == site.root + "/" + name);
        CHECK(answer.content == "#!/bin/sh\n" + name);
    }
}

TEST_CASE("script: a reason shows no control characters of a path", "[script]")
{
    const Site site;
    const auto reason = site.uri("/no\n\x1b[31msuch").reason;
    CHECK(reason.find('\n') == std::string::npos);
    CHECK(reason.find('\x1b') == std::string::npos);
    CHECK(site.uri("/" + std::string(100'000, 'x')).reason.size() < 1'000);
}

// --- symbolic links
// -------------------------------------------------------------------------------

TEST_CASE("script: a symbolic link inside the root runs", "[script]")
{
    const Site site;
    std::filesystem::create_symlink("sub/deep/in.cgi", site.root + "/relative.cgi");
    std::filesystem::create_symlink(site.root + "/ok.cgi", site.root + "/absolute.cgi");
    std::filesystem::create_symlink(site.root + "/sub", site.root + "/subdir");
    CHECK(site.uri("/relative.cgi").content == "#!/bin/sh\necho in\n");
    CHECK(site.uri("/relative.cgi").path == site.root + "/relative.cgi");
    CHECK(site.uri("/absolute.cgi").content == "#!/bin/sh\necho ok\n");
    CHECK(site.uri("/subdir/deep/in.cgi/x").path_info == "/x");
    CHECK(site.uri("/subdir/missing.cgi").status == 404);
}

TEST_CASE("script: a symbolic link that leads out of the root is a 403", "[script]")
{
    const Site site;
    std::filesystem::create_symlink("../outside/evil.cgi", site.root + "/relative.cgi");
    std::filesystem::create_symlink(site.dir / "outside/evil.cgi", site.root + "/absolute.cgi");
    std::filesystem::create_symlink(site.dir / "root-outside", site.root + "/dir");
    std::filesystem::create_symlink("/", site.root + "/slash");
    std::filesystem::create_symlink("/proc/self/root", site.root + "/magic");
    for (const char* name : {"/relative.cgi",
                             "/absolute.cgi",
                             "/absolute.cgi/x",
                             "/dir/evil.cgi",
                             "/dir/missing.cgi",
                             "/slash/bin/sh",
                             "/magic/bin/sh"}) {
        INFO(name);
        CHECK(site.uri(name).status == 403);
        CHECK(site.uri(name, without_openat2()).status == 404);
    }
}

TEST_CASE("script: a loop of symbolic links is a 404", "[script]")
{
    const Site site;
    std::filesystem::create_symlink("b", site.root + "/a");
    std::filesystem::create_symlink("a", site.root + "/b");
    for (const char* name : {"/a", "/a/x.cgi"})
        for (const ScriptRules& rules : {ScriptRules{}, without_openat2()})
            CHECK(site.uri(name, rules).status == 404);
    CHECK(contains(site.uri("/a").reason, "symbolic links"));
}

TEST_CASE("script: a broken symbolic link is a 404", "[script]")
{
    const Site site;
    std::filesystem::create_symlink("nowhere", site.root + "/broken");
    CHECK(site.uri("/broken").status == 404);
}

TEST_CASE("script: without openat2 the path is walked and no symbolic link followed", "[script]")
{
    const Site site;
    std::filesystem::create_symlink("ok.cgi", site.root + "/link.cgi");
    std::filesystem::create_symlink("sub", site.root + "/link");
    const auto rules = without_openat2();
    CHECK(site.uri("/sub/deep/in.cgi/x", rules).path_info == "/x");
    CHECK(site.uri("/sub/deep/in.cgi", rules).directory == site.root + "/sub/deep");
    CHECK(site.uri("/ok.cgi", rules).directory == site.root);
    CHECK(site.uri("/link.cgi", rules).status == 404);
    CHECK(site.uri("/link/deep/in.cgi", rules).status == 404);
    CHECK(site.uri("/sub", rules).status == 403);
    CHECK(site.uri("/plain.txt", rules).status == 403);
}

TEST_CASE("script: the root may be reached by a symbolic link", "[script]")
{
    const Site site;
    const std::string alias = site.dir / "alias";
    std::filesystem::create_symlink("root", alias);
    const Resolver resolver({alias, "", "", {}, {}});
    // As the administrator wrote it, and as $realpath_root has it.
    CHECK(ask(resolver, {{"SCRIPT_FILENAME", alias + "/ok.cgi"}}).path == alias + "/ok.cgi");
    CHECK(ask(resolver, {{"SCRIPT_FILENAME", site.root + "/ok.cgi"}}).path == alias + "/ok.cgi");
}

TEST_CASE("script: an open script is the one that was found although its name changes", "[script]")
{
    const Site site;
    fcgi::Params params;
    REQUIRE(params.decode(wire::pair("SCRIPT_NAME", "/ok.cgi")));
    const Resolver resolver({site.root, "", "", {}, {}});
    const auto found = resolver.resolve(params);
    REQUIRE(found);
    std::filesystem::rename(site.dir / "outside/evil.cgi", site.root + "/ok.cgi");
    char content[32] = {};
    CHECK(::pread(found.value().file.get(), content, sizeof content, 0) == 18);
    CHECK(content == "#!/bin/sh\necho ok\n"s);
}

// --- the root
// -------------------------------------------------------------------------------------

TEST_CASE("script: a root that cannot be used is an error that names it", "[script]")
{
    const Site site;
    for (const std::string& root : {site.dir / "missing", site.root + "/ok.cgi", ""s}) {
        INFO(root);
        CHECK_THROWS_AS(Resolver({root, "", "", {}, {}}), StartError);
    }
    try {
        const Resolver resolver({site.dir / "missing", "", "", {}, {}});
    } catch (const StartError& error) {
        CHECK(contains(error.what(), site.dir / "missing"));
        CHECK(error.exit_code() == exit_handler_load);
    }
}

TEST_CASE("script: a root that its user may not search is an error", "[script]")
{
    const Site site;
    REQUIRE(::chmod(site.root.c_str(), 0600) == 0);
    {
        const AsNobody nobody;
        CHECK_THROWS_AS(Resolver({site.root, "", "", {}, {}}), StartError);
    }
    REQUIRE(::chmod(site.root.c_str(), 0700) == 0);
    CHECK(site.uri("/ok.cgi").status == 200);
}

TEST_CASE("script: a root that everybody may write to is an error unless it is sticky", "[script]")
{
    const Site site;
    REQUIRE(::chmod(site.root.c_str(), 0777) == 0);
    CHECK_THROWS_AS(Resolver({site.root, "", "", {}, {}}), StartError);
    REQUIRE(::chmod(site.root.c_str(), 01777) == 0);
    CHECK(site.uri("/ok.cgi").status == 200);
}

TEST_CASE("script: the whole file system may be the root", "[script]")
{
    const Site site;
    CHECK(
        ask(Resolver({"/", "", "", {}, {}}), {{"SCRIPT_FILENAME", site.root + "/ok.cgi/x"}}).path ==
        site.root + "/ok.cgi");
}

TEST_CASE("script: a root with dots or a trailing slash means the same directory", "[script]")
{
    const Site site;
    for (const std::string& root : {site.root + "/", site.root + "/./", site.root + "/sub/.."}) {
        INFO(root);
        const auto answer =
            ask(Resolver({root, "", "", {}, {}}), {{"SCRIPT_FILENAME", site.root + "/ok.cgi"}});
        CHECK(answer.path == site.root + "/ok.cgi");
    }
}

TEST_CASE("script: no descriptor is left open", "[script]")
{
    const Site site;
    std::filesystem::create_symlink(site.dir / "outside", site.root + "/out");
    const auto open_files = [] {
        const std::filesystem::directory_iterator all("/proc/self/fd");
        return std::distance(begin(all), end(all));
    };
    const auto before = open_files();
    for (const char* name :
         {"/ok.cgi", "/ok.cgi/x", "/missing", "/sub", "/plain.txt", "/out/evil.cgi"})
        for (const ScriptRules& rules : {ScriptRules{}, without_openat2()})
            site.uri(name, rules);
    CHECK(open_files() == before);
}
