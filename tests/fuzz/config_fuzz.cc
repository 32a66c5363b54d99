// config_fuzz.cc - the reader of configuration files against any bytes, and values against the
// settings they are given to. Checks   every entry belongs to a section and a line of the file; no
// value has a NUL or line end; what written() makes of a value is read back as that value; what a
// setting accepts is printed so that it accepts it again, as the same value.
#include "base/unique_fd.h"
#include "config/ini.h"
#include "config/settings.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

using namespace config;

namespace {

void require(bool condition)
{
    if (!condition)
        std::abort();
}

Ini read(std::string_view text)
{
    const UniqueFd file(::memfd_create("config", MFD_CLOEXEC));
    require(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return read_ini("/proc/self/fd/" + std::to_string(file.get()));
}

void check_written(const std::string& value)
{
    const Ini again = read("[a]\nk = " + written(value) + "\n");
    // A blank of more than a buffer's length cannot be read, but then it is said.
    if (value.size() < 100 || again.problems.empty())
        require(again.entries.size() == 1 && again.entries[0].value == value);
}

void check_setting(const Setting& setting, const std::string& key, const std::string& value)
{
    Global global;
    Pool pool;
    const Target target{&global, &pool};
    if (setting.type == Type::include || set(setting, key, value, target))
        return;
    const std::string printed = format(setting, key, target);
    Global other_global;
    Pool other_pool;
    const Target other{&other_global, &other_pool};
    require(set(setting, key, printed, other) == std::nullopt);
    require(format(setting, key, other) == printed);
}

void check_entry(const Entry& entry, int lines)
{
    require(!entry.section.empty() && !entry.key.empty());
    require(entry.origin.line >= 1 && entry.origin.line <= lines);
    require(entry.value.find('\0') == std::string::npos &&
            entry.value.find('\n') == std::string::npos);
    check_written(entry.value);
    for (const Scope scope : {Scope::global, Scope::pool})
        if (const Setting* setting = find_setting(scope, entry.key))
            check_setting(*setting, entry.key, entry.value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (text.find("include") != std::string_view::npos)
        return 0;  // would read files of this machine
    const Ini ini = read(text);
    const auto lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
    for (const Entry& entry : ini.entries)
        check_entry(entry, lines);
    for (const Problem& problem : ini.problems)
        require(problem.origin.line <= lines && !problem.text.empty());
    for (const Section& section : ini.sections)
        require(!section.name.empty());
    return 0;
}
