#include "server/run_request.h"

#include "base/text.h"

#include <algorithm>
#include <iterator>

namespace server {

namespace {

constexpr std::string_view names[] = {
    "AUTH_TYPE",      "CONTENT_LENGTH",  "CONTENT_TYPE",    "DOCUMENT_ROOT",   "DOCUMENT_URI",
    "HTTPS",          "PATH_INFO",       "QUERY_STRING",    "REDIRECT_STATUS", "REMOTE_ADDR",
    "REMOTE_HOST",    "REMOTE_IDENT",    "REMOTE_PORT",     "REMOTE_USER",     "REQUEST_METHOD",
    "REQUEST_SCHEME", "REQUEST_URI",     "SCRIPT_NAME",     "SERVER_ADDR",     "SERVER_NAME",
    "SERVER_PORT",    "SERVER_PROTOCOL", "SERVER_SOFTWARE",
};

bool is_of_a_request(std::string_view name)
{
    return name.starts_with("HTTP_") ||
           std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string value_of(const Variables& variables, const std::string& name, const char* otherwise)
{
    const auto found = variables.find(name);
    return found == variables.end() ? otherwise : found->second;
}

}  // namespace

Variables request_variables(const char* const* environment)
{
    Variables variables;
    for (; *environment != nullptr; ++environment) {
        const std::string_view entry = *environment;
        const std::size_t equals = entry.find('=');
        if (equals != std::string_view::npos && is_of_a_request(entry.substr(0, equals)))
            variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return variables;
}

std::optional<std::size_t> body_limit(const Variables& shell)
{
    const std::string length = value_of(shell, "CONTENT_LENGTH", "");
    if (!length.empty())
        return text::to_number<std::size_t>(length).value_or(0);
    const std::string method = value_of(shell, "REQUEST_METHOD", "GET");
    if (method == "POST" || method == "PUT" || method == "PATCH")
        return std::string::npos;
    return std::nullopt;
}

Variables build_request(const Variables& shell,
                        const ProgramName& program,
                        std::optional<std::size_t> body)
{
    Variables request = shell;
    request.insert_or_assign("SCRIPT_FILENAME", program.file);
    request.insert_or_assign("SCRIPT_NAME", program.uri);
    const std::string path = program.uri + value_of(shell, "PATH_INFO", "");
    const std::string query = value_of(shell, "QUERY_STRING", "");
    const std::string host = value_of(shell, "SERVER_NAME", "localhost");
    const Variables defaults = {
        {"REQUEST_METHOD", "GET"},
        {"QUERY_STRING", ""},
        {"REQUEST_URI", query.empty() ? path : path + "?" + query},
        {"DOCUMENT_URI", path},
        {"DOCUMENT_ROOT", program.document_root},
        {"REQUEST_SCHEME", "http"},
        {"HTTP_HOST", host},
    };
    request.insert(defaults.begin(), defaults.end());
    if (value_of(request, "CONTENT_LENGTH", "").empty())
        request.erase("CONTENT_LENGTH");
    if (body) {
        request.emplace("CONTENT_LENGTH", std::to_string(*body));
        request.emplace("CONTENT_TYPE", "application/x-www-form-urlencoded");
    }
    return request;
}

}  // namespace server
