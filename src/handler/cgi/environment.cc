#include "handler/cgi/environment.h"

#include "base/text.h"
#include "handler/cgi/wire_names.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace cgi {

namespace {

using Variable = Environment::Variable;
using Variables = std::vector<Variable>;

// What RFC 3875 requires, or programs need, and a web server may have left out.
constexpr Variable defaults[] = {
    {"PATH", "/usr/local/bin:/usr/bin:/bin"},
    {"QUERY_STRING", ""},
    {"REDIRECT_STATUS", "200"},  // php-cgi refuses to run without
    {"REMOTE_ADDR", "127.0.0.1"},
    {"SERVER_NAME", "localhost"},
    {"SERVER_PORT", "80"},
    {"SERVER_PROTOCOL", "HTTP/1.0"},
    {"SERVER_SOFTWARE", "tricorn/" PACKAGE_VERSION},
};

// Empty, they say what their absence says; nginx sends CONTENT_LENGTH="" with every GET, and
// SERVER_NAME="" where none is configured.
constexpr std::string_view never_empty[] = {"AUTH_TYPE",
                                            "CONTENT_LENGTH",
                                            "CONTENT_TYPE",
                                            "REDIRECT_STATUS",
                                            "REMOTE_ADDR",
                                            "REMOTE_HOST",
                                            "REMOTE_IDENT",
                                            "REMOTE_USER",
                                            "SERVER_NAME",
                                            "SERVER_PORT",
                                            "SERVER_PROTOCOL",
                                            "SERVER_SOFTWARE"};

// What the resolved script says, whatever the web server says.
constexpr std::string_view resolved[] = {
    "PATH_INFO", "PATH_TRANSLATED", "SCRIPT_FILENAME", "SCRIPT_NAME"};

constexpr std::string_view authorization[] = {
    "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "REDIRECT_HTTP_AUTHORIZATION"};

template <std::size_t size>
bool is_one_of(const std::string_view (&names)[size], std::string_view name)
{
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Sorted by name, of each name the last.
void keep_last(Variables& variables)
{
    std::stable_sort(variables.begin(), variables.end(), [](const Variable& a, const Variable& b) {
        return a.first < b.first;
    });
    const auto same_name = [](const Variable& a, const Variable& b) { return a.first == b.first; };
    // From the back, so that unique() keeps the last.
    const auto begin = std::unique(variables.rbegin(), variables.rend(), same_name).base();
    variables.erase(variables.begin(), begin);
}

bool passes(const Variable& variable, bool pass_authorization)
{
    const auto& [name, value] = variable;
    return value.find('\0') == std::string_view::npos &&
           !(value.empty() && is_one_of(never_empty, name)) && !is_one_of(resolved, name) &&
           (pass_authorization || !is_one_of(authorization, name));
}

Variables from_wire(const fcgi::Params& params, bool pass_authorization)
{
    Variables variables;
    for (const Variable& pair : params.pairs())
        if (is_variable_name(pair.first) && may_come_from_wire(pair.first))
            variables.push_back(pair);
    // The last of a name counts even when it is then dropped: an earlier one must not reappear.
    keep_last(variables);
    std::erase_if(variables, [&](const Variable& v) { return !passes(v, pass_authorization); });
    return variables;
}

std::string_view value_of(const Variables& sorted, std::string_view name)
{
    const auto found = std::lower_bound(
        sorted.begin(), sorted.end(), name, [](const Variable& variable, std::string_view wanted) {
            return variable.first < wanted;
        });
    return found != sorted.end() && found->first == name ? found->second : std::string_view();
}

std::optional<Refusal> fault(const Variables& wire)
{
    if (value_of(wire, "REQUEST_METHOD").empty())
        return Refusal{400, "the web server sent no REQUEST_METHOD"};
    const std::string_view length = value_of(wire, "CONTENT_LENGTH");
    if (length.find_first_not_of("0123456789") != std::string_view::npos)
        return Refusal{400, "CONTENT_LENGTH is no number: " + text::in_quotes(length)};
    return std::nullopt;
}

// The file that PATH_INFO would be, were it a path of the web server. A ".." could make it any.
std::string path_translated(std::string_view document_root, std::string_view path_info)
{
    while (document_root.ends_with('/') && path_info.starts_with('/'))
        document_root.remove_suffix(1);
    if (path_info.empty() || document_root.empty() || has_dot_dot(path_info))
        return {};
    return std::string(document_root).append(path_info);
}

}  // namespace

Environment::Environment(std::span<const Variable> variables)
{
    std::size_t size = 0;
    for (const auto& [name, value] : variables)
        size += name.size() + value.size() + 2;
    block_.reserve(size);  // so that what pointers_ point at does not move
    pointers_.reserve(variables.size() + 1);
    for (const auto& [name, value] : variables) {
        pointers_.push_back(block_.data() + block_.size());
        block_.insert(block_.end(), name.begin(), name.end());
        block_.push_back('=');
        block_.insert(block_.end(), value.begin(), value.end());
        block_.push_back('\0');
    }
    pointers_.push_back(nullptr);
}

std::vector<std::string_view> Environment::entries() const
{
    return {pointers_.begin(), pointers_.end() - 1};
}

Result<Environment, Refusal> build_environment(const fcgi::Params& params,
                                               const Script& script,
                                               const EnvironmentRules& rules)
{
    const Variables wire = from_wire(params, rules.pass_authorization);
    if (auto refusal = fault(wire))
        return std::move(*refusal);
    const std::string translated =
        path_translated(value_of(wire, "DOCUMENT_ROOT"), script.path_info);

    Variables variables(std::begin(defaults), std::end(defaults));
    variables.insert(variables.end(), wire.begin(), wire.end());
    variables.emplace_back("GATEWAY_INTERFACE", "CGI/1.1");
    variables.emplace_back("SCRIPT_FILENAME", script.path);
    variables.emplace_back("SCRIPT_NAME", script.name);
    if (!script.path_info.empty())
        variables.emplace_back("PATH_INFO", script.path_info);
    if (!translated.empty())
        variables.emplace_back("PATH_TRANSLATED", translated);
    variables.insert(variables.end(), rules.env.begin(), rules.env.end());
    keep_last(variables);
    return Environment(variables);
}

}  // namespace cgi
