#include "config/check.h"
#include "config/inside.h"
#include "tests/catch.h"
#include "tests/unit/config_site.h"

#include <cerrno>
#include <filesystem>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace config;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

// A Site with a chroot: DIR/jail/cgi/hello.cgi, and links that mean something else outside.
struct Jailed : Site {
    std::string jail = directory / "jail";

    Jailed()
    {
        fs::create_directories(jail + "/cgi");
        write_file(jail + "/cgi/hello.cgi", "#!/bin/sh\n", 0755);
        fs::create_symlink("/cgi", jail + "/absolute");
        fs::create_symlink("../../../cgi", jail + "/climbing");
        fs::create_symlink("/etc", jail + "/outside");
        fs::create_symlink("/loop", jail + "/loop");
        invocation.root = true;
    }

    std::string jailed(const std::string& more) const
    {
        return "[www]\nuser = www-data\nbind = 127.0.0.1:0\nchroot = " + jail + "\n" + more;
    }
};

}  // namespace

TEST_CASE("chroot: a look inside follows symbolic links as a process inside does")
{
    const Jailed site;
    struct stat status {};
    struct stat cgi {};
    REQUIRE(::stat((site.jail + "/cgi").c_str(), &cgi) == 0);
    for (const char* path : {"/cgi", "/absolute", "/climbing", "/../cgi", "/cgi/../../cgi"}) {
        CAPTURE(path);
        REQUIRE(stat_inside(site.jail, path, status));
        CHECK(status.st_ino == cgi.st_ino);
    }
    CHECK_FALSE(stat_inside(site.jail, "/outside", status));
    CHECK(errno == ENOENT);
    CHECK_FALSE(stat_inside(site.jail, "/loop", status));
    CHECK(errno == ELOOP);
    CHECK(stat_inside("", site.jail + "/outside", status));
    CHECK_FALSE(stat_inside(site.directory / "nothing", "/cgi", status));
    CHECK(errno == ENOENT);
}

TEST_CASE("config: paths of a pool with chroot are looked for inside")
{
    Jailed site;
    CHECK(site.mistakes_of(site.jailed("root = /cgi\nchdir = /absolute\n")) == "nothing is wrong");
    CHECK(site.mistakes_of(site.jailed("script = /climbing/hello.cgi\n")) == "nothing is wrong");
    CHECK(site.mistakes_of(site.jailed("root = " + site.root() + "\n")) ==
          "5: root: " + site.root() + " (inside the chroot " + site.jail +
              "): No such file or directory: name a directory");
    CHECK_THAT(site.mistakes_of(site.jailed("script = /bin/sh\n")),
               Contains("5: script: /bin/sh (inside the chroot ") && Contains("name a file"));
    CHECK_THAT(site.mistakes_of(site.jailed("handler = module\nmodule = /lib/x.so\n")),
               Contains("6: module: /lib/x.so (inside the chroot "));
    CHECK_THAT(site.mistakes_of(site.jailed("root = /cgi\nchdir = /cgi/hello.cgi\n")),
               Contains("6: chdir: ") && Contains("is not a directory"));
    CHECK_THAT(site.mistakes_of(site.jailed("root = /cgi\nchdir = /etc\n")),
               Contains("6: chdir: /etc (inside the chroot "));
}

TEST_CASE("config: a chroot is a directory that not everybody can write")
{
    Jailed site;
    const std::string begin = "[www]\nuser = www-data\nbind = 127.0.0.1:0\nroot = /\n";
    CHECK_THAT(site.mistakes_of(begin + "chroot = nothing\n"),
               Contains("5: chroot: " + site.directory / "nothing: No such file or directory"));
    CHECK_THAT(site.mistakes_of(begin + "chroot = t.conf\n"),
               Contains("5: chroot: ") && Contains("is not a directory"));
    ::chmod(site.jail.c_str(), 01777);
    CHECK_THAT(site.mistakes_of(site.jailed("root = /cgi\n")),
               Contains("4: chroot: " + site.jail + " can be written by everybody"));
}

TEST_CASE("config: without root a chroot counts for nothing and is not looked into")
{
    Jailed site;
    site.invocation.root = false;
    site.file("[www]\nbind = 127.0.0.1:0\nroot = " + site.root() + "\nchroot = /nowhere\n");
    REQUIRE(site.load().warnings.size() == 1);
    CHECK(site.load().warnings[0] == site.conf() + ":4: chroot: ignored, only root can change it");
    CHECK_THAT(site.mistakes_of(site.jailed("root = /cgi\n")),
               Contains("5: root: /cgi: No such file or directory"));
}

TEST_CASE("config: without root a nice value below the present one is ignored with a warning")
{
    Site site;
    site.invocation.root = false;
    const int present = ::getpriority(PRIO_PROCESS, 0);
    const auto warnings_of = [&](int nice) {
        site.file(site.pool("www", "nice = " + std::to_string(nice) + "\n"));
        return site.load().warnings;
    };
    CHECK(warnings_of(present).empty());
    CHECK(warnings_of(19).empty());
    REQUIRE(warnings_of(-20).size() == (present > -20 ? 1 : 0));
    CHECK(warnings_of(-20)[0] == site.conf() + ":4: nice: -20 is ignored, only root can lower it");
}

TEST_CASE("config: the working directory of a pool has to exist")
{
    Site site;
    site.invocation.root = false;
    CHECK(site.mistakes_of(site.pool("www", "chdir = /\n")) == "nothing is wrong");
    CHECK(site.mistakes_of(site.pool("www", "chdir = cgi\n")) == "nothing is wrong");
    CHECK(site.mistakes_of(site.pool("www", "chdir = nothing\n")) ==
          "4: chdir: " + site.directory / "nothing: No such file or directory: name a directory");
}
