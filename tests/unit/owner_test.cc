// owner_test.cc - suexec's rules, asked of descriptors.
// Source   suexec's checks 116 to 120.
#include "handler/cgi/owner.h"
#include "handler/cgi/script.h"
#include "tests/catch.h"
#include "tests/unit/site.h"

#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace programs;

namespace {

cgi::ScriptRules owned_by(uid_t uid, gid_t gid)
{
    cgi::ScriptRules rules;
    rules.owner = {uid, gid};
    return rules;
}

// A Site whose files belong to whoever runs the test.
struct OwnedSite : Site {
    const std::string program = root + "/ok.cgi";
    const cgi::ScriptRules ours = owned_by(::geteuid(), ::getegid());

    OwnedSite()
    {
        for (const char* name : {"", "/sub", "/sub/deep", "/ok.cgi", "/sub/deep/in.cgi"}) {
            REQUIRE(::chown((root + name).c_str(), ::geteuid(), ::getegid()) == 0);
            mode(name, 0755);
        }
    }
    void mode(const std::string& name, mode_t mode) const
    {
        REQUIRE(::chmod((root + name).c_str(), mode) == 0);
    }
    // Refused for a reason that holds these words.
    bool refuses(std::string_view words) const
    {
        const Answer answer = file(program, ours);
        CAPTURE(answer.status, answer.reason);
        CHECK(answer.status == 403);
        CHECK(contains(answer.reason, "owner_check: "));
        return contains(answer.reason, words);
    }
};

}  // namespace

TEST_CASE("owner: a program of the owner that nobody else can write runs", "[script]")
{
    const OwnedSite site;
    for (const mode_t mode : {0755, 0700, 0555, 0500}) {
        site.mode("/ok.cgi", mode);
        CHECK(site.file(site.program, site.ours).status == 200);
    }
    CHECK(site.uri("/sub/deep/in.cgi/info", site.ours).path_info == "/info");
}

TEST_CASE("owner: without the check anybody's program runs", "[script]")
{
    const OwnedSite site;
    site.mode("/ok.cgi", 0777);
    CHECK(site.file(site.program).status == 200);
}

TEST_CASE("owner: a program that group or others can write is refused", "[script]")
{
    const OwnedSite site;
    for (const mode_t mode : {0775, 0757, 0777, 0720}) {
        site.mode("/ok.cgi", mode);
        CHECK(site.refuses("the program can be written by its group or by others"));
    }
}

TEST_CASE("owner: a directory that group or others can write is refused", "[script]")
{
    const OwnedSite site;
    for (const mode_t mode : {0775, 01777}) {
        site.mode("", mode);
        CHECK(site.refuses("the program's directory can be written by its group or by others"));
    }
}

TEST_CASE("owner: a program with a set-user-ID or set-group-ID bit is refused", "[script]")
{
    const OwnedSite site;
    for (const mode_t mode : {04755, 02755, 06755}) {
        site.mode("/ok.cgi", mode);
        CHECK(site.refuses("the program is set-user-ID or set-group-ID"));
    }
    site.mode("/ok.cgi", 0755);
    site.mode("", 02755);  // which means something else for directories
    CHECK(site.file(site.program, site.ours).status == 200);
}

TEST_CASE("owner: a program of another user or group is refused", "[script]")
{
    const OwnedSite site;
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    for (const auto& rules : {owned_by(uid + 1, gid), owned_by(uid, gid + 1)}) {
        const Answer answer = site.file(site.program, rules);
        CHECK(answer.status == 403);
        CHECK(contains(answer.reason,
                       "the program's directory belongs to user " + std::to_string(uid) +
                           " and group " + std::to_string(gid) + ", and not to the pool's user"));
    }
    if (!is_root())
        return;
    REQUIRE(::chown(site.program.c_str(), 1, gid) == 0);
    CHECK(site.refuses("the program belongs to user 1 and group"));
    REQUIRE(::chown(site.program.c_str(), uid, 1) == 0);
    CHECK(site.refuses("the program belongs to user 0 and group 1"));
    REQUIRE(::chown(site.program.c_str(), uid, gid) == 0);
    REQUIRE(::chown(site.root.c_str(), 1, gid) == 0);
    CHECK(site.refuses("the program's directory belongs to user 1"));
}

TEST_CASE("owner: a symbolic link to a good program is refused and one above it is not", "[script]")
{
    const OwnedSite site;
    std::filesystem::create_symlink("ok.cgi", site.root + "/link.cgi");
    CHECK(contains(site.file(site.root + "/link.cgi", site.ours).reason, "is a symbolic link"));
    std::filesystem::create_symlink("sub/deep", site.root + "/short");
    CHECK(site.file(site.root + "/short/in.cgi", site.ours).status == 200);
}

TEST_CASE("owner: a fixed script is checked as well", "[script]")
{
    const OwnedSite site;
    cgi::ScriptRules rules = site.ours;
    rules.script = site.program;
    CHECK(ask(cgi::Resolver(rules), {{"SCRIPT_NAME", "/x"}}).status == 200);
    site.mode("/ok.cgi", 0777);
    CHECK(ask(cgi::Resolver(rules), {{"SCRIPT_NAME", "/x"}}).status == 403);
}

TEST_CASE("owner: without openat2 the rules are the same", "[script]")
{
    const OwnedSite site;
    cgi::ScriptRules rules = site.ours;
    rules.use_openat2 = false;
    CHECK(site.file(site.program, rules).status == 200);
    site.mode("/ok.cgi", 0777);
    CHECK(site.file(site.program, rules).status == 403);
}

// What a look at the path would miss: the good program has taken the place of the one that runs.
TEST_CASE("owner: a program that was swapped after it was opened is refused", "[script]")
{
    const OwnedSite site;
    write_file(site.root + "/evil.cgi", "#!/bin/sh\n", 0777);
    const UniqueFd evil(::open((site.root + "/evil.cgi").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd directory(::open(site.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto look = [&](const char* name) {
        return cgi::check_owner(
            *site.ours.owner, evil.get(), directory.get(), site.root + "/" + name);
    };
    CHECK(contains(look("evil.cgi").value_or(""), "the program can be written"));
    std::filesystem::rename(site.program, site.root + "/evil.cgi");
    CHECK(contains(look("evil.cgi").value_or(""), "was replaced"));
    std::filesystem::remove(site.root + "/evil.cgi");
    CHECK(contains(look("evil.cgi").value_or(""), "No such file"));
}
