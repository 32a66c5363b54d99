#include "config/settings.h"

#include "base/text.h"

#include <algorithm>
#include <type_traits>

namespace config {
namespace {

using Problem = std::optional<std::string>;

constexpr std::string_view environment_prefix = "env.";
constexpr std::string_view unlimited = "unlimited";
constexpr std::uint64_t infinity = UINT64_MAX;  // RLIM_INFINITY of 64-bit Linux
constexpr std::string_view automatic = "auto";

// Stores the value of `result`, converted, or hands on its error.
template <class Value, class Stored>
Problem store(const Result<Value, std::string>& result, Stored& to)
{
    if (!result)
        return result.error();
    to = static_cast<Stored>(result.value());
    return std::nullopt;
}

// One overload of set_field for each kind of field.

Problem set_field(const Setting& setting, std::string_view value, std::string& to)
{
    if (setting.type == Type::choice)
        if (const auto known = parse_choice(value, setting.choices); !known)
            return known.error();
    to = value;
    return std::nullopt;
}

Problem set_field(const Setting& /*setting*/, std::string_view value, bool& to)
{
    return store(parse_flag(value), to);
}

template <class Enum>
requires std::is_enum_v<Enum> Problem set_field(const Setting& setting,
                                                std::string_view value,
                                                Enum& to)
{
    return store(parse_choice(value, setting.choices), to);
}

Problem set_field(const Setting& /*setting*/, std::string_view value, std::vector<std::string>& to)
{
    auto words = parse_words(value);
    if (words.empty())
        to.clear();
    to.insert(to.end(), words.begin(), words.end());
    return std::nullopt;
}

Problem set_field(const Setting& setting, std::string_view value, int& to)
{
    if (value == automatic && setting.by_default == automatic) {
        to = 0;
        return std::nullopt;
    }
    auto problem = store(parse_number(value, setting.range), to);
    if (problem && setting.by_default == automatic)
        *problem += ", or auto";
    return problem;
}

Problem set_field(const Setting& /*setting*/, std::string_view value, std::optional<int>& to)
{
    if (!value.empty())
        return store(parse_nice(value), to);
    to.reset();
    return std::nullopt;
}

Problem set_field(const Setting& setting, std::string_view value, std::uint64_t& to)
{
    return store(setting.type == Type::size ? parse_size(value, setting.range)
                                            : parse_number(value, setting.range),
                 to);
}

Problem set_field(const Setting& /*setting*/, std::string_view value, mode_t& to)
{
    return store(parse_mode(value), to);
}

Problem set_field(const Setting& setting, std::string_view value, Duration& to)
{
    return store(parse_duration(value, setting.range), to);
}

Problem set_field(const Setting& setting, std::string_view value, std::optional<std::uint64_t>& to)
{
    if (value.empty()) {
        to = std::nullopt;
        return std::nullopt;
    }
    if (value == unlimited) {
        to = infinity;
        return std::nullopt;
    }
    if (setting.type != Type::seconds) {
        std::uint64_t limit = 0;
        auto problem = set_field(setting, value, limit);
        if (problem)
            return *problem + ", or unlimited";
        to = limit;
        return std::nullopt;
    }
    const auto duration = parse_duration(value, setting.range);
    if (!duration)
        return duration.error() + ", or unlimited";
    if (duration.value().count() % 1000 != 0)
        return text::in_quotes(value) + " is not in whole seconds";
    to = static_cast<std::uint64_t>(duration.value().count() / 1000);
    return std::nullopt;
}

bool is_environment_name(std::string_view name)
{
    const auto is_word = [](char c) {
        return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               (c >= '0' && c <= '9');
    };
    return !name.empty() && std::ranges::all_of(name, is_word) &&
           !(name.front() >= '0' && name.front() <= '9');
}

Problem set_variable(std::string_view name, std::string_view value, Environment& to)
{
    if (!is_environment_name(name))
        return text::in_quotes(name) +
               " is not the name of a variable: letters, digits and _, no digit "
               "first";
    to.insert_or_assign(std::string(name), std::string(value));
    return std::nullopt;
}

// One overload of format_field for each kind of field.

std::string format_field(const Setting& /*setting*/, const std::string& value)
{
    return value;
}

std::string format_field(const Setting& /*setting*/, bool value)
{
    return value ? "yes" : "no";
}

template <class Enum>
requires std::is_enum_v<Enum> std::string format_field(const Setting& setting, Enum value)
{
    return parse_words(setting.choices).at(static_cast<std::size_t>(value));
}

std::string format_field(const Setting& /*setting*/, const std::vector<std::string>& value)
{
    return format_words(value);
}

std::string format_field(const Setting& setting, int value)
{
    return value == 0 && setting.by_default == automatic ? std::string(automatic)
                                                         : std::to_string(value);
}

std::string format_field(const Setting& /*setting*/, std::optional<int> value)
{
    return value ? std::to_string(*value) : "";
}

std::string format_field(const Setting& setting, std::uint64_t value)
{
    return setting.type == Type::size ? format_size(value) : std::to_string(value);
}

std::string format_field(const Setting& /*setting*/, mode_t value)
{
    return format_mode(value);
}

std::string format_field(const Setting& /*setting*/, Duration value)
{
    return format_duration(value);
}

std::string format_field(const Setting& setting, const std::optional<std::uint64_t>& value)
{
    if (!value)
        return "";
    if (*value == infinity)
        return std::string(unlimited);
    if (setting.type == Type::seconds)
        return std::to_string(*value) + "s";
    return format_field(setting, *value);
}

// Calls `use` with the field that the setting names in the target; a monostate names none.
template <class Use>
auto visit_field(const Setting& setting, Target target, Use use)
{
    return std::visit(
        [&](auto member) {
            using Member = decltype(member);
            if constexpr (std::is_same_v<Member, std::monostate>)
                return decltype(use(target.pool->user))();
            else if constexpr (std::is_invocable_v<Member, Global&>)
                return use(target.global->*member);
            else if constexpr (std::is_invocable_v<Member, Pool&>)
                return use(target.pool->*member);
            else
                return use(target.pool->rlimits.*member);
        },
        setting.field);
}

}  // namespace

std::string_view environment_name(std::string_view key)
{
    return key.starts_with(environment_prefix) ? key.substr(environment_prefix.size())
                                               : std::string_view();
}

const Setting* find_setting(Scope scope, std::string_view key)
{
    for (const Setting& setting : settings())
        if (setting.scope == scope && (setting.key == key || (setting.type == Type::environment &&
                                                              key.starts_with(environment_prefix))))
            return &setting;
    return nullptr;
}

std::string_view nearest_key(Scope scope, std::string_view key)
{
    std::vector<std::string_view> keys;
    for (const Setting& setting : settings())
        if (setting.scope == scope)
            keys.push_back(setting.key);
    return nearest(key, keys);
}

bool takes_several(const Setting& setting)
{
    return setting.type == Type::words || setting.type == Type::address ||
           setting.type == Type::include;
}

std::optional<std::string> set(const Setting& setting,
                               std::string_view key,
                               std::string_view value,
                               Target target)
{
    if (has_control(value))
        return text::in_quotes(value) + " holds control characters: printable text only";
    return visit_field(setting, target, [&](auto& field) -> Problem {
        if constexpr (std::is_same_v<decltype(field), Environment&>)
            return set_variable(environment_name(key), value, field);
        else
            return set_field(setting, value, field);
    });
}

std::string format(const Setting& setting, std::string_view key, Target target)
{
    return visit_field(setting, target, [&](const auto& field) -> std::string {
        if constexpr (std::is_same_v<decltype(field), const Environment&>) {
            const auto found = field.find(std::string(environment_name(key)));
            return found == field.end() ? "" : found->second;
        } else {
            return format_field(setting, field);
        }
    });
}

// As php-fpm: half-way between the two numbers of spare workers, unless the pool says it.
int start_workers(const Pool& pool)
{
    const int wanted = pool.start_workers > 0
                           ? pool.start_workers
                           : pool.min_spare + (pool.max_spare - pool.min_spare) / 2;
    return std::min(wanted, pool.workers);
}

}  // namespace config
