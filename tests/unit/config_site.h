// config_site.h - what tests of whole configurations need: a directory with programs, a file and an
// Invocation that names them.
// Owner    the test that holds the Site.
#pragma once

#include "base/error.h"
#include "config/config.h"
#include "tests/catch.h"
#include "tests/system/support/temp_dir.h"

class Site {
public:
    Site()
    {
        std::filesystem::create_directory(root());
        write_file(root() + "/hello.cgi", "#!/bin/sh\n", 0755);
        write_file(root() + "/page.html", "text", 0644);
        write_file(directory / "handler.so", "", 0644);
        invocation.directory = directory.path();
    }

    std::string root() const { return directory / "cgi"; }
    std::string conf() const { return directory / "t.conf"; }

    // A pool that nothing is wrong with; more lines go behind it.
    std::string pool(const std::string& name, const std::string& more = "") const
    {
        return "[" + name + "]\nroot = " + root() + "\nbind = unix:" + directory / name +
               ".sock\n" + more;
    }

    void file(std::string_view text, std::vector<std::string> words = {})
    {
        write_file(conf(), text);
        words.insert(words.begin(), {"-c", conf()});
        invocation.words = std::move(words);
    }

    config::Loaded load() const { return config::load(invocation); }

    config::Loaded load(std::vector<std::string> words)
    {
        invocation.words = std::move(words);
        return load();
    }

    // What is wrong, one mistake to a line, "LINE: ..." for those in t.conf.
    std::string mistakes(int exit_code = exit_config) const
    {
        try {
            load();
        } catch (const StartError& error) {
            CHECK(error.exit_code() == exit_code);
            std::string text = error.what();
            for (std::size_t at = text.find(conf() + ":"); at != std::string::npos;
                 at = text.find(conf() + ":"))
                text.erase(at, conf().size() + 1);
            return text;
        }
        return "nothing is wrong";
    }

    std::string mistakes_of(std::string_view text) { return file(text), mistakes(); }

    TempDir directory;
    config::Invocation invocation;
};

inline const config::Pool& only_pool(const config::Loaded& loaded)
{
    REQUIRE(loaded.config.pools.size() == 1);
    return loaded.config.pools.front();
}
