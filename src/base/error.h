// error.h - what start-up throws, for main() to turn into an exit code; loops report and go on.
// Source   exit codes: sysexits(3); 3 and 4 are gunicorn's WORKER_BOOT_ERROR and APP_LOAD_ERROR.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

// Exit codes, as EXIT STATUS in tricorn(8) lists them.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;
inline constexpr int exit_worker_boot = 3;
inline constexpr int exit_handler_load = 4;
inline constexpr int exit_usage = 64;
inline constexpr int exit_config = 78;

// Ends the program with a message and an exit code.
class StartError : public std::runtime_error {
public:
    StartError(int exit_code, const std::string& text)
        : std::runtime_error(text), exit_code_(exit_code)
    {
    }
    int exit_code() const noexcept { return exit_code_; }

private:
    int exit_code_;
};

// Throws std::system_error for the present errno: "what: No such file or directory".
[[noreturn]] void throw_errno(const std::string& what);

// The text for an errno value; safe to call from any process, allocates.
std::string errno_text(int error);
