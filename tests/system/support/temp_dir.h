// temp_dir.h - a fresh directory for one test, removed with everything in it; small file helpers.
// Errors   throws std::system_error or std::runtime_error: a test cannot go on without its files.
// Owner    the test that holds the TempDir.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <sys/types.h>

class TempDir {
public:
    TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();

    // Short on purpose: a socket's path has 107 bytes.
    const std::string& path() const { return path_; }
    std::string operator/(std::string_view name) const;

private:
    std::string path_;
};

// Whole files, bytes as they are. read_file of a missing file is empty.
std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view content, mode_t mode = 0644);
void append_file(const std::string& path, std::string_view content);
bool exists(const std::string& path);

// How often the part, of at least one byte, is in the text of a file.
std::size_t count_of(std::string_view text, std::string_view part);

// True when the tests run as root, and then also: the user that pools run as.
bool is_root();
const char* pool_user();
// "user = NAME", a line of a pool; empty for an ordinary user.
std::string user_line();

// Gives path to the pool's user; nothing happens for an ordinary user.
void give_to_pool(const std::string& path);
