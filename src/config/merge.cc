#include "config/merge.h"

#include "base/error.h"
#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <thread>

#include <sys/stat.h>

namespace config {
namespace {

constexpr std::string_view global_section = "global";
constexpr std::string_view target_pool = "www";
constexpr std::string_view target_bind = "127.0.0.1:9000";
constexpr std::size_t max_name = 64;

// Why a name cannot be a pool's; empty when it can.
std::string wrong_name(const std::string& name)
{
    const auto allowed = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '.' || c == '-';
    };
    if (name.size() > max_name)
        return "is too long a name: at most " + std::to_string(max_name) + " characters";
    if (!std::ranges::all_of(name, allowed))
        return "is not a pool's name: letters, digits, _, . and - only";
    if (text::equal_ignoring_case(name, global_section))
        return "write it [global]";
    return {};
}

std::string replace_all(std::string text, std::string_view what, std::string_view with)
{
    for (std::size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
    return text;
}

std::string absolute_address(const std::string& address, const std::string& directory)
{
    static constexpr std::string_view prefix = "unix:";
    if (!address.starts_with(prefix) || address.size() == prefix.size())
        return address;
    return std::string(prefix) + absolute(address.substr(prefix.size()), directory);
}

// The value as it is kept: paths absolute.
std::string resolved(const Setting& setting, const std::string& value, const std::string& directory)
{
    if (setting.type == Type::path)
        return value == setting.by_default ? value : absolute(value, directory);
    if (setting.type == Type::log)
        return value == "-" || value == "syslog" ? value : absolute(value, directory);
    if (setting.type != Type::address)
        return value;
    std::vector<std::string> addresses = parse_words(value);
    for (std::string& address : addresses)
        address = absolute_address(address, directory);
    return format_words(addresses);
}

std::string directory_of(const std::string& path)
{
    return path.substr(0, path.rfind('/') + 1);
}

int default_workers()
{
    const auto cpus = static_cast<int>(std::min(std::thread::hardware_concurrency(), 1024U));
    return std::clamp(2 * cpus + 1, 2, 32);
}

// What a TARGET is: the key of the setting that it gives a value.
std::string_view target_key(const std::string& path,
                            const std::string& target,
                            const std::string& source)
{
    const auto refuse = [&](const std::string& why) {
        throw StartError(exit_usage,
                         source + ": " + target + ": " + why +
                             "; TARGET is a directory, an executable program or a module (.so)");
    };
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
        refuse(errno_text(errno));
    if (S_ISDIR(status.st_mode))
        return "root";
    if (!S_ISREG(status.st_mode))
        refuse("neither a file nor a directory");
    if (path.ends_with(".so"))
        return "module";
    if ((status.st_mode & 0111) == 0)
        refuse("not executable");
    return "script";
}

}  // namespace

std::string absolute(const std::string& path, const std::string& directory)
{
    if (path.empty())
        return path;
    std::string result = path;
    if (path.front() != '/')
        result = (std::filesystem::path(directory) / path).lexically_normal().string();
    while (result.size() > 1 && result.back() == '/')
        result.pop_back();
    return result;
}

void Merger::add_file(Ini ini)
{
    ++level_;
    std::ranges::move(ini.problems, std::back_inserter(draft_.problems));
    std::ranges::move(ini.warnings, std::back_inserter(draft_.warnings));
    for (const Section& section : ini.sections)
        add_section(section);
    for (const Entry& entry : ini.entries)
        add_entry(entry);
}

void Merger::add_section(const Section& section)
{
    if (section.name == global_section)
        return;
    const std::string label = "[" + section.name + "]: ";
    if (const std::string wrong = wrong_name(section.name); !wrong.empty())
        return problem(section.origin, label + wrong);
    const auto known = draft_.origins.find({section.name, ""});
    if (known == draft_.origins.end()) {
        add_pool(section.name, section.origin);
        return;
    }
    repeated_.push_back(section.name);
    problem(section.origin,
            label + "the pool is already defined at " + known->second.front().text() +
                ": give it another name, or put its settings there");
}

void Merger::add_entry(const Entry& entry)
{
    const bool global = entry.section == global_section;
    const Scope scope = global ? Scope::global : Scope::pool;
    const Given given{
        entry.key, entry.value, entry.origin, entry.key, directory_of(entry.origin.source)};
    Pool* pool = global ? nullptr : find_pool(entry.section);
    if (pool == nullptr && !global)
        return;  // its name has been refused
    const Setting* setting = find_setting(scope, entry.key);
    if (setting == nullptr)
        unknown_key(given, scope, false);
    else if (!is_repeated(entry, *setting))
        put(*setting, given, pool);
}

bool Merger::is_repeated(const Entry& entry, const Setting& setting)
{
    // That a pool stands there twice has been said already.
    const bool said = std::ranges::find(repeated_, entry.section) != repeated_.end();
    const auto earlier = draft_.origins.find({entry.section, entry.key});
    if (earlier == draft_.origins.end() || (takes_several(setting) && !said))
        return false;
    if (!said)
        problem(entry.origin,
                entry.key + ": is already set at " + earlier->second.front().text() +
                    ": keep one of the two");
    return true;
}

void Merger::unknown_key(const Given& given, Scope scope, bool usage)
{
    const Scope other = scope == Scope::global ? Scope::pool : Scope::global;
    std::string text = given.label + ": is not a key";
    if (find_setting(other, given.key) != nullptr)
        text = given.label + (other == Scope::global ? ": belongs in the section [global]"
                                                     : ": belongs in the section of a pool");
    else if (const auto near = nearest_key(scope, given.key); !near.empty())
        text += ": did you mean " + std::string(near) + "?";
    else
        text += ": see tricorn.conf(5)";
    problem(given.origin, text, usage);
}

void Merger::put(const Setting& setting, Given given, Pool* pool)
{
    const std::string section = pool == nullptr ? std::string(global_section) : pool->name;
    const Target target{&draft_.config.global, pool};
    if (pool != nullptr)
        given.value = replace_all(given.value, "$pool", pool->name);
    given.value = resolved(setting, given.value, given.directory);

    auto& origins = draft_.origins[{section, given.key}];
    const bool adds = takes_several(setting) && !given.value.empty();
    if (int& level = levels_[{section, given.key}]; !adds || level != level_) {
        if (takes_several(setting))
            set(setting, given.key, "", target);
        origins.clear();
        level = level_;
    }
    const std::size_t count = adds ? parse_words(given.value).size() : 1;
    origins.insert(origins.end(), count, given.origin);
    if (const auto wrong = set(setting, given.key, given.value, target))
        problem(given.origin, given.label + ": " + *wrong, given.origin.line == 0);
}

void Merger::add_target(const std::string& target, const std::string& source)
{
    const std::string path = absolute(target, invocation_.directory);
    const std::string_view key = target_key(path, target, source);
    const Origin origin{source, 0};
    auto& pools = draft_.config.pools;
    if (pools.size() > 1)
        throw StartError(exit_usage,
                         source + ": " + target +
                             ": a TARGET needs exactly one pool, and the "
                             "configuration file has " +
                             std::to_string(pools.size()));
    Pool& pool = pools.empty() ? add_pool(std::string(target_pool), origin) : pools.front();
    has_target_ = true;
    ++level_;
    put_target(pool, "handler", key == "module" ? "module" : "cgi", origin);
    for (const std::string_view each : {"root", "script", "module"})
        put_target(pool, each, each == key ? path : "", origin);
}

void Merger::add_program(const std::string& program, const std::string& source)
{
    const std::string path = absolute(program, invocation_.directory);
    const auto refuse = [&](const std::string& why) {
        throw StartError(exit_usage, source + ": --run " + program + ": " + why);
    };
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
        refuse(errno_text(errno));
    if (!S_ISREG(status.st_mode))
        refuse("is no file");
    if ((status.st_mode & 0111) == 0)
        refuse("is not executable: chmod +x it");
    const Origin origin{source, 0};
    Pool& pool = add_pool(std::string(target_pool), origin);
    has_target_ = true;
    ++level_;
    put_target(pool, "script", path, origin);
    put_target(pool, "mount", path.substr(path.rfind('/')), origin);
}

void Merger::put_target(Pool& pool,
                        std::string_view key,
                        const std::string& value,
                        const Origin& origin)
{
    // What a TARGET leaves empty and the file did so too stays a default.
    if (value.empty() && !draft_.origins.contains({pool.name, std::string(key)}))
        return;
    put(*find_setting(Scope::pool, key),
        {std::string(key), value, origin, "TARGET", invocation_.directory},
        &pool);
}

void Merger::add_options(const Options& options, const std::string& source)
{
    ++level_;
    for (const Options::Item& item : options.items)
        add_item(item, source);
}

void Merger::add_item(const Options::Item& item, const std::string& source)
{
    Given given{item.key, item.value, {source, 0}, item.option, invocation_.directory};
    given.value = std::string(text::trim(given.value));
    if (item.from_set) {
        given.label += " " + item.key;
        // The longest name first: with pools a and a.b, a.b.root is pool a.b's root.
        Pool* named = nullptr;
        for (Pool& pool : draft_.config.pools)
            if (item.key.starts_with(pool.name + ".") &&
                (named == nullptr || pool.name.size() > named->name.size()))
                named = &pool;
        if (named != nullptr) {
            given.key = item.key.substr(named->name.size() + 1);
            const Setting* setting = find_setting(Scope::pool, given.key);
            return setting == nullptr ? unknown_key(given, Scope::pool, true)
                                      : put(*setting, given, named);
        }
    }
    if (const Setting* setting = find_setting(Scope::global, given.key))
        return put(*setting, given, nullptr);
    if (const Setting* setting = find_setting(Scope::pool, given.key))
        return add_to_all(*setting, given);
    unknown_key(given, Scope::pool, true);
}

void Merger::add_to_all(const Setting& setting, const Given& given)
{
    auto& pools = draft_.config.pools;
    if (setting.type == Type::address && pools.size() > 1)
        return problem(given.origin,
                       given.label + ": needs exactly one pool, and there are " +
                           std::to_string(pools.size()) + ": write --set POOL.bind=ADDRESS",
                       true);
    for (Pool& pool : pools)
        put(setting, given, &pool);
}

Pool* Merger::find_pool(std::string_view name)
{
    const auto found = std::ranges::find(draft_.config.pools, name, &Pool::name);
    return found == draft_.config.pools.end() ? nullptr : &*found;
}

Pool& Merger::add_pool(const std::string& name, const Origin& origin)
{
    draft_.config.pools.emplace_back().name = name;
    draft_.origins[{name, ""}] = {origin};
    return draft_.config.pools.back();
}

Draft Merger::finish()
{
    static constexpr std::string_view variable = "WEB_CONCURRENCY";
    const Setting& workers = *find_setting(Scope::pool, "workers");
    for (Pool& pool : draft_.config.pools) {
        if (pool.workers == 0 && invocation_.web_concurrency &&
            !draft_.origins.contains({pool.name, std::string(workers.key)}))
            put(workers,
                {std::string(workers.key),
                 *invocation_.web_concurrency,
                 {std::string(variable), 0},
                 std::string(workers.key),
                 ""},
                &pool);
        if (pool.workers == 0)
            pool.workers = default_workers();
        if (pool.bind.empty() && has_target_)
            pool.bind = {std::string(target_bind)};
    }
    return std::move(draft_);
}

}  // namespace config
