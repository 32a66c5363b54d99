// script_test.cc - which program a request runs, and what becomes of its path.
#include "handler/cgi/script.h"
#include "tests/catch.h"
#include "tests/unit/site.h"

#include <filesystem>
#include <string>

using cgi::Resolver;
using cgi::ScriptRules;
using namespace programs;
using namespace std::string_literals;

// --- SCRIPT_FILENAME
// ------------------------------------------------------------------------------

TEST_CASE("script: SCRIPT_FILENAME beneath the root is opened", "[script]")
{
    const Site site;
    const auto answer =
        ask(Resolver({site.root, "", "", {}, {}}),
            {{"SCRIPT_FILENAME", site.root + "/ok.cgi"}, {"SCRIPT_NAME", "/cgi/ok.cgi"}});
    CHECK(answer.status == 200);
    CHECK(answer.path == site.root + "/ok.cgi");
    CHECK(answer.name == "/cgi/ok.cgi");
    CHECK(answer.path_info.empty());
    CHECK(answer.interpreted);
    CHECK(answer.content == "#!/bin/sh\necho ok\n");
    CHECK(answer.directory == site.root);
}

TEST_CASE("script: a program that is no interpreter's is told apart", "[script]")
{
    const Site site;
    write_file(site.root + "/one", "#", 0755);
    write_file(site.root + "/empty", "", 0755);
    CHECK_FALSE(site.file(site.root + "/binary").interpreted);
    CHECK_FALSE(site.file(site.root + "/one").interpreted);
    CHECK_FALSE(site.file(site.root + "/empty").interpreted);
}

TEST_CASE("script: the directory is the script's own", "[script]")
{
    const Site site;
    CHECK(site.file(site.root + "/sub/deep/in.cgi").directory == site.root + "/sub/deep");
}

TEST_CASE("script: PATH_INFO of the web server is kept when the whole path is the script",
          "[script]")
{
    const Site site;
    const auto answer = ask(Resolver({site.root, "", "", {}, {}}),
                            {{"SCRIPT_FILENAME", site.root + "/ok.cgi"},
                             {"SCRIPT_NAME", "/ok.cgi"},
                             {"PATH_INFO", "/a//b/../c"}});
    CHECK(answer.name == "/ok.cgi");
    CHECK(answer.path_info == "/a//b/../c");
}

TEST_CASE("script: what follows the script in SCRIPT_FILENAME is PATH_INFO", "[script]")
{
    const Site site;
    const Resolver resolver({site.root, "", "", {}, {}});
    const std::string file = site.root + "/ok.cgi//a/b";
    auto answer = ask(resolver, {{"SCRIPT_FILENAME", file}, {"SCRIPT_NAME", "/ok.cgi//a/b"}});
    CHECK(answer.path == site.root + "/ok.cgi");
    CHECK(answer.name == "/ok.cgi");
    CHECK(answer.path_info == "//a/b");
    // The web server has split the URI already.
    answer = ask(resolver,
                 {{"SCRIPT_FILENAME", file}, {"SCRIPT_NAME", "/ok.cgi"}, {"PATH_INFO", "//a/b"}});
    CHECK(answer.name == "/ok.cgi");
    CHECK(answer.path_info == "//a/b");
    // It has split it in the wrong place.
    answer = ask(resolver,
                 {{"SCRIPT_FILENAME", site.root + "/binary/x.cgi"},
                  {"SCRIPT_NAME", "/binary/x.cgi"},
                  {"PATH_INFO", "/y"}});
    CHECK(answer.name == "/binary");
    CHECK(answer.path_info == "/x.cgi/y");
}

TEST_CASE("script: the prefixes of Apache's proxy are stripped", "[script]")
{
    const Site site;
    for (const std::string& prefix : {"proxy:fcgi://localhost"s,
                                      "proxy:fcgi://127.0.0.1:9000"s,
                                      "proxy:fcgi://[::1]:9000/"s,
                                      "proxy:balancer://cluster"s,
                                      "proxy:unix:/run/tricorn/www.sock|fcgi://localhost"s}) {
        INFO(prefix);
        const auto answer = site.file(prefix + site.root + "/ok.cgi");
        CHECK(answer.status == 200);
        CHECK(answer.path == site.root + "/ok.cgi");
        CHECK(site.file(prefix + site.dir.path() + "/outside/evil.cgi").status == 403);
    }
    CHECK(site.file("proxy:balancer://x" + site.root + "/ok.cgi?a=/../b").status == 200);
    CHECK(site.file("proxy:fcgi://localhost").status == 404);
    CHECK(site.file("proxy:").status == 404);
}

TEST_CASE("script: a SCRIPT_FILENAME that is encoded unlike SCRIPT_NAME is decoded", "[script]")
{
    const Site site;
    write_file(site.root + "/with space.cgi", "#!/bin/sh\n", 0755);
    write_file(site.root + "/%41.cgi", "#!/bin/sh\n", 0755);
    write_file(site.root + "/A.cgi", "#!/bin/sh\n", 0755);
    const Resolver resolver({site.root, "", "", {}, {}});
    const auto asked = [&](const std::string& file, const std::string& uri) {
        return ask(resolver, {{"SCRIPT_FILENAME", site.root + file}, {"SCRIPT_NAME", uri}});
    };
    auto answer = asked("/with%20space.cgi/%c3%BC", "/pp/with space.cgi/\xc3\xbc");
    CHECK(answer.path == site.root + "/with space.cgi");
    CHECK(answer.name == "/pp/with space.cgi");
    CHECK(answer.path_info == "/\xc3\xbc");
    // Both are encoded or both are not: then it is a name.
    CHECK(asked("/%41.cgi", "/%41.cgi").path == site.root + "/%41.cgi");
    CHECK(asked("/%41.cgi", "/other").path == site.root + "/%41.cgi");
    CHECK(asked("/%2541.cgi", "/%2541.cgi").status == 404);
    CHECK(asked("/%2541.cgi", "/%41.cgi").path == site.root + "/%41.cgi");
    CHECK(asked("/%41.cgi", "/A.cgi").path == site.root + "/A.cgi");
    CHECK(asked("/sub/%2e%2E/ok.cgi", "/sub/../ok.cgi").status == 404);
    CHECK(asked("/ok.cgi%00", "/ok.cgi\0"s).status == 404);
    CHECK(asked("/ok.cgi/100%", "/x").path_info == "/100%");
}

TEST_CASE("script: repeated slashes and single dots are nothing", "[script]")
{
    const Site site;
    for (const char* name : {"//ok.cgi", "/./ok.cgi", "/.//././ok.cgi"}) {
        const auto answer = site.file(site.root + name);
        INFO(name);
        CHECK(answer.path == site.root + "/ok.cgi");
    }
    CHECK(site.file("//" + site.root + "/ok.cgi").status == 200);
}

TEST_CASE("script: a trailing slash is PATH_INFO", "[script]")
{
    const Site site;
    CHECK(site.uri("/ok.cgi/").path_info == "/");
    CHECK(site.uri("/ok.cgi/").name == "/ok.cgi");
    CHECK(site.uri("/plain.txt/").status == 403);
}

TEST_CASE("script: a relative SCRIPT_FILENAME is refused", "[script]")
{
    const Site site;
    CHECK(site.file("ok.cgi").status == 404);
    CHECK(site.file("./ok.cgi").status == 404);
}

// --- DOCUMENT_ROOT and SCRIPT_NAME
// ----------------------------------------------------------------

TEST_CASE("script: without SCRIPT_FILENAME it is DOCUMENT_ROOT and SCRIPT_NAME", "[script]")
{
    const Site site;
    for (const char* name : {"/ok.cgi", "ok.cgi"}) {
        const auto answer = site.uri(name);
        CHECK(answer.path == site.root + "/ok.cgi");
        CHECK(answer.name == name);
    }
    // An empty SCRIPT_FILENAME is none.
    CHECK(ask(Resolver({site.root, "", "", {}, {}}),
              {{"SCRIPT_FILENAME", ""}, {"DOCUMENT_ROOT", site.root}, {"SCRIPT_NAME", "/ok.cgi"}})
              .status == 200);
}

TEST_CASE("script: without DOCUMENT_ROOT the root stands for it", "[script]")
{
    const Site site;
    CHECK(ask(Resolver({site.root, "", "", {}, {}}), {{"SCRIPT_NAME", "/sub/deep/in.cgi"}}).path ==
          site.root + "/sub/deep/in.cgi");
}

TEST_CASE("script: SCRIPT_NAME is split where the script ends", "[script]")
{
    const Site site;
    const auto answer = site.uri("/sub/deep/in.cgi/more/./path/");
    CHECK(answer.path == site.root + "/sub/deep/in.cgi");
    CHECK(answer.name == "/sub/deep/in.cgi");
    CHECK(answer.path_info == "/more/./path/");
}

TEST_CASE("script: a request that names no script is a 404", "[script]")
{
    const Site site;
    const Resolver resolver({site.root, "", "", {}, {}});
    CHECK(ask(resolver, {}).status == 404);
    CHECK(ask(resolver, {{"DOCUMENT_ROOT", site.root}, {"PATH_INFO", "/ok.cgi"}}).status == 404);
}

// --- mount
// ----------------------------------------------------------------------------------------

TEST_CASE("script: with a mount the rest of the URI path is looked up beneath the root", "[script]")
{
    const Site site;
    for (const char* mount : {"/cgi-bin", "/cgi-bin/", "cgi-bin"}) {
        const auto answer = site.uri("/cgi-bin/sub/deep/in.cgi/a//b", with_mount(mount));
        INFO(mount << " " << answer.reason);
        CHECK(answer.path == site.root + "/sub/deep/in.cgi");
        CHECK(answer.name == "/cgi-bin/sub/deep/in.cgi");
        CHECK(answer.path_info == "/a//b");
    }
}

TEST_CASE("script: a mount takes SCRIPT_NAME and PATH_INFO together", "[script]")
{
    const Site site;
    ScriptRules rules = with_mount("/cgi-bin");
    rules.root = site.root;
    const auto answer = ask(Resolver(rules),
                            {{"SCRIPT_FILENAME", "/etc/nginx/html/cgi-bin/ok.cgi"},
                             {"SCRIPT_NAME", "/cgi-bin"},
                             {"PATH_INFO", "/ok.cgi/x"}});
    CHECK(answer.path == site.root + "/ok.cgi");
    CHECK(answer.name == "/cgi-bin/ok.cgi");
    CHECK(answer.path_info == "/x");
}

TEST_CASE("script: a mount matches whole components only", "[script]")
{
    const Site site;
    for (const char* name :
         {"/cgi-binary", "/cgi-bin2/ok.cgi", "/ok.cgi", "/x/cgi-bin/ok.cgi", ""}) {
        INFO(name);
        CHECK(site.uri(name, with_mount("/cgi-bin")).status == 404);
    }
    CHECK(site.uri("/cgi-bin", with_mount("/cgi-bin")).status == 403);
    CHECK(site.uri("/cgi-bin/", with_mount("/cgi-bin")).status == 403);
}

TEST_CASE("script: the mount / maps every URI path to the root", "[script]")
{
    const Site site;
    const auto answer = site.uri("/sub/deep/in.cgi/x", with_mount("/"));
    CHECK(answer.path == site.root + "/sub/deep/in.cgi");
    CHECK(answer.name == "/sub/deep/in.cgi");
    CHECK(answer.path_info == "/x");
    CHECK(site.uri("ok.cgi", with_mount("/")).status == 404);
}

// --- script
// ---------------------------------------------------------------------------------------

TEST_CASE("script: a fixed script runs for every request beneath its mount", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.script = site.root + "/ok.cgi";
    rules.mount = "/app";
    const Resolver resolver(rules);
    auto answer =
        ask(resolver, {{"SCRIPT_NAME", "/app/some//path"}, {"SCRIPT_FILENAME", "/usr/bin/env"}});
    CHECK(answer.path == site.root + "/ok.cgi");
    CHECK(answer.name == "/app");
    CHECK(answer.path_info == "/some//path");
    CHECK(answer.directory == site.root);
    CHECK(ask(resolver, {{"SCRIPT_NAME", "/app"}}).path_info.empty());
    CHECK(ask(resolver, {{"SCRIPT_NAME", "/apple"}}).status == 404);
    CHECK(ask(resolver, {{"SCRIPT_NAME", "/"}}).status == 404);
    CHECK(ask(resolver, {{"SCRIPT_NAME", "/app/../x"}}).status == 404);
}

TEST_CASE("script: a fixed script without a mount has the URI path as PATH_INFO", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.script = site.root + "/ok.cgi";
    for (const std::string mount : {"", "/"}) {
        rules.mount = mount;
        const auto answer = ask(Resolver(rules), {{"SCRIPT_NAME", "/any"}, {"PATH_INFO", "/path"}});
        CHECK(answer.status == 200);
        CHECK(answer.name.empty());
        CHECK(answer.path_info == "/any/path");
    }
    CHECK(ask(Resolver(rules), {}).status == 200);
}

namespace {

// Directories 1 and 2, in each of them an app.cgi that says which.
void make_releases(const Site& site)
{
    for (const char* release : {"1", "2"}) {
        std::filesystem::create_directory(site.dir / release);
        write_file(site.dir / release + "/app.cgi", release, 0755);
    }
}

}  // namespace

TEST_CASE("script: a fixed script that is replaced is picked up", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.script = site.dir / "current/app.cgi";
    make_releases(site);
    std::filesystem::create_symlink("1", site.dir / "current");
    const Resolver resolver(rules);
    CHECK(ask(resolver, {}).content == "1");
    write_file(site.dir / "1/new", "new", 0755);
    std::filesystem::rename(site.dir / "1/new", site.dir / "1/app.cgi");
    CHECK(ask(resolver, {}).content == "new");
    std::filesystem::remove(site.dir / "current");
    std::filesystem::create_symlink("2", site.dir / "current");
    CHECK(ask(resolver, {}).content == "2");
    CHECK(ask(resolver, {}).directory == site.dir / "2");
    std::filesystem::remove(site.dir / "2/app.cgi");
    CHECK(ask(resolver, {}).status == 404);
}

TEST_CASE("script: a root that another directory has replaced is followed", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.root = site.dir / "current";
    make_releases(site);
    const auto switch_to = [&](const char* release) {
        std::filesystem::remove(site.dir / "current");
        std::filesystem::create_symlink(release, site.dir / "current");
    };
    switch_to("1");
    Resolver resolver(rules);
    const auto content = [&] {
        resolver.follow_root();
        return ask(resolver, {{"SCRIPT_FILENAME", site.dir / "current/app.cgi"}}).content;
    };
    CHECK(content() == "1");
    switch_to("2");
    CHECK(content() == "2");
    switch_to("missing");
    CHECK(content() == "2");
    switch_to("1");
    CHECK(content() == "1");
    // Everybody could put programs into this one.
    std::filesystem::permissions(site.dir / "2", std::filesystem::perms::all);
    switch_to("2");
    CHECK(content() == "1");
}

TEST_CASE("script: a fixed script may be a symbolic link to anywhere", "[script]")
{
    const Site site;
    std::filesystem::create_symlink(site.dir / "outside/evil.cgi", site.root + "/link.cgi");
    ScriptRules rules;
    rules.script = site.root + "/link.cgi";
    const auto answer = ask(Resolver(rules), {});
    CHECK(answer.status == 200);
    CHECK(answer.path == site.root + "/link.cgi");
    CHECK(answer.directory == site.root);
}

TEST_CASE("script: a fixed script is checked like any other", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.script = site.root + "/plain.txt";
    CHECK(ask(Resolver(rules), {}).status == 403);
    rules.script = site.root + "/sub";
    CHECK(ask(Resolver(rules), {}).status == 403);
    rules.script = site.root + "/missing";
    CHECK(ask(Resolver(rules), {}).status == 404);
}

// --- allowed_paths and allowed_extensions
// ---------------------------------------------------------

TEST_CASE("script: only allowed extensions run", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.allowed_extensions = {".pl", ".cgi"};
    CHECK(site.uri("/ok.cgi", rules).status == 200);
    CHECK(site.uri("/ok.cgi/x.txt", rules).status == 200);
    CHECK(site.uri("/binary", rules).status == 403);
    // The hole of cgi.fix_pathinfo: the extension of what follows does not count.
    write_file(site.root + "/image.gif", "#!/bin/sh\n", 0755);
    CHECK(site.uri("/image.gif/x.cgi", rules).status == 403);
}

TEST_CASE("script: extensions are compared byte by byte", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.allowed_extensions = {".cgi"};
    for (const std::string name :
         {"a.CGI", "a.c\xc4\xa3i", "\xc8\xba.cgi.txt", "a.cgi\xc8\xba", "acgi"}) {
        write_file(site.root + "/" + name, "#!/bin/sh\n", 0755);
        INFO(name);
        CHECK(site.uri("/" + name, rules).status == 403);
    }
    // U+023A is one byte shorter than its small letter.
    write_file(site.root + "/\xc8\xba\xc8\xba.cgi", "#!/bin/sh\n", 0755);
    const auto answer = site.uri("/\xc8\xba\xc8\xba.cgi/\xc8\xba", rules);
    CHECK(answer.path_info == "/\xc8\xba");
}

TEST_CASE("script: only allowed paths run", "[script]")
{
    const Site site;
    ScriptRules rules;
    rules.allowed_paths = {"/nowhere/*", site.root + "/*.cgi"};
    CHECK(site.uri("/ok.cgi", rules).status == 200);
    CHECK(site.uri("/binary", rules).status == 403);
    CHECK(site.uri("/sub/deep/in.cgi", rules).status == 403);  // '*' does not match a slash
    rules.allowed_paths = {site.root + "/sub/*/in.cgi"};
    CHECK(site.uri("/sub/deep/in.cgi", rules).status == 200);
}
