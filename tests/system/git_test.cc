// git_test.cc - git-http-backend and cgit, the programs that people run behind nginx, with the
// configuration that the project ships.
// Source   git-http-backend(1), cgitrc(5); conf/nginx/git.conf and cgit.conf.
#include "tests/catch.h"
#include "tests/system/support/nginx.h"

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

namespace {

const char* const backend = "/usr/lib/git-core/git-http-backend";
const char* const cgit = "/usr/lib/cgit/cgit.cgi";

Finished git(std::vector<std::string> arguments, const std::string& directory)
{
    arguments.insert(arguments.begin(), "git");
    Command command;
    command.arguments = std::move(arguments);
    command.directory = directory;
    command.environment = {{"HOME", directory},
                           {"GIT_CONFIG_NOSYSTEM", "1"},
                           {"GIT_TERMINAL_PROMPT", "0"},
                           {"GIT_AUTHOR_NAME", "A"},
                           {"GIT_AUTHOR_EMAIL", "a@example.org"},
                           {"GIT_COMMITTER_NAME", "A"},
                           {"GIT_COMMITTER_EMAIL", "a@example.org"}};
    return run(std::move(command), Milliseconds{30000});
}

bool good(const Finished& finished)
{
    return finished.status == ExitStatus{0, 0};
}

// project.git with twenty commits, and a work tree beside it.
struct Repository {
    TempDir directory;
    std::string bare = directory / "project.git";
    std::string work = directory / "work";

    Repository()
    {
        REQUIRE(good(git({"init", "-q", "-b", "main", work}, directory.path())));
        for (int i = 0; i < 20; ++i) {
            write_file(work + "/file" + std::to_string(i),
                       std::string(5000, static_cast<char>('a' + i)));
            REQUIRE(good(git({"add", "."}, work)));
            REQUIRE(good(git({"commit", "-q", "-m", "commit " + std::to_string(i)}, work)));
        }
        REQUIRE(good(git({"clone", "-q", "--bare", work, bare}, directory.path())));
        REQUIRE(good(git({"config", "http.receivepack", "true"}, bare)));
        for (const auto& entry : std::filesystem::recursive_directory_iterator(bare))
            give_to_pool(entry.path());
        give_to_pool(bare);
    }
};

// A shipped snippet, with this test's places put in.
std::string snippet(const std::string& name,
                    const std::string& upstream,
                    const std::string& repositories)
{
    std::string text = read_file(source_file("conf/nginx/" + name));
    text = std::regex_replace(text, std::regex("include fastcgi_params;"), "@PARAMS@");
    text = std::regex_replace(
        text, std::regex("fastcgi_pass " + upstream), "fastcgi_pass unix:@SOCKET@");
    return std::regex_replace(text, std::regex("/srv/git"), repositories);
}

}  // namespace

TEST_CASE("git: clone and shallow clone and push work through nginx", "[nginx]")
{
    if (!has_program("nginx") || !exists(backend))
        SKIP_TEST("nginx or git-http-backend is not installed");
    const Repository repository;
    const Server server(
        {.pool = std::string("script = ") + backend + "\nmount = /git\n" + socket_for_nginx()});
    const Nginx nginx(server, snippet("git.conf", "tricorn_git", repository.directory.path()));
    const std::string url = nginx.url("/git/project.git");
    const TempDir clones;

    REQUIRE(good(git({"clone", "-q", url, "whole"}, clones.path())));
    CHECK(read_file(clones / "whole/file19") == std::string(5000, 't'));
    CHECK(git({"rev-list", "--count", "HEAD"}, clones / "whole").out == "20\n");

    REQUIRE(good(git({"clone", "-q", "--depth", "1", url, "shallow"}, clones.path())));
    CHECK(git({"rev-list", "--count", "HEAD"}, clones / "shallow").out == "1\n");

    write_file(clones / "whole/new", "pushed");
    REQUIRE(good(git({"add", "new"}, clones / "whole")));
    REQUIRE(good(git({"commit", "-q", "-m", "pushed"}, clones / "whole")));
    const Finished push = git({"push", "-q", "origin", "main"}, clones / "whole");
    CAPTURE(push.err);
    REQUIRE(good(push));
    CHECK(
        git({"-c", "safe.directory=*", "log", "-1", "--format=%s", "main"}, repository.bare).out ==
        "pushed\n");
}

TEST_CASE("git: cgit shows a page through nginx", "[nginx]")
{
    if (!has_program("nginx") || !has_program("curl") || !exists(cgit))
        SKIP_TEST("nginx or curl or cgit is not installed");
    const Repository repository;
    const std::string rc = repository.directory / "cgitrc";
    write_file(rc,
               "virtual-root=/cgit/\ncache-size=0\nrepo.url=project\nrepo.path=" + repository.bare +
                   "\nrepo.desc=the project of the test\n");
    const Server server(
        {.pool = std::string("script = ") + cgit + "\nmount = /cgit\nenv.CGIT_CONFIG = " + rc +
                 "\nenv.HOME = " + repository.directory.path() + "\n" + socket_for_nginx()});
    const Nginx nginx(server, snippet("cgit.conf", "tricorn_cgit", repository.directory.path()));
    const HttpAnswer index = curl(nginx.url("/cgit/"));
    CHECK(index.status == 200);
    CHECK(index.body.find("the project of the test") != std::string::npos);
    const HttpAnswer log = curl(nginx.url("/cgit/project/log/"));
    CHECK(log.status == 200);
    CHECK(log.body.find("commit 19") != std::string::npos);
}
