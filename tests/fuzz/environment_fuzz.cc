// environment_fuzz.cc - the environment that any parameters lead to. Input    byte 0: bit 0 drops
// authorization, bit 1 gives the script a PATH_INFO, bit 2 gives the pool a variable of its own;
// the rest is a PARAMS stream. Checks   no name twice, no dangerous name, what RFC 3875 requires is
// there, nothing is made up, and no string of the block can be read as two.
#include "handler/cgi/environment.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace {

void require(bool condition)
{
    if (!condition)
        std::abort();
}

const std::set<std::string> forced = {"GATEWAY_INTERFACE",
                                      "PATH",
                                      "PATH_INFO",
                                      "PATH_TRANSLATED",
                                      "POOL_OWN",
                                      "SCRIPT_FILENAME",
                                      "SCRIPT_NAME"};
const std::set<std::string> defaulted = {"QUERY_STRING",
                                         "REDIRECT_STATUS",
                                         "REMOTE_ADDR",
                                         "SERVER_NAME",
                                         "SERVER_PORT",
                                         "SERVER_PROTOCOL",
                                         "SERVER_SOFTWARE"};

bool dangerous(std::string_view name)
{
    for (const char* prefix : {"LD_", "BASH_", "PERL5", "PYTHON", "RUBY", "MALLOC_", "LISTEN_"})
        if (name.starts_with(prefix))
            return true;
    static const std::set<std::string, std::less<>> names = {
        "BASHOPTS",     "CDPATH",      "ENV",       "FCGI_ROLE", "GCONV_PATH",    "GLIBC_TUNABLES",
        "HTTP_PROXY",   "IFS",         "PHP_VALUE", "PHPRC",     "NOTIFY_SOCKET", "PS4",
        "NODE_OPTIONS", "SHELLOPTS",   "PERLLIB",   "NODE_PATH", "LOCPATH",       "NLSPATH",
        "TZDIR",        "HOSTALIASES", "http_proxy"};
    return names.contains(name);
}

using Variables = std::map<std::string, std::string>;

// Reads the block as the kernel and the program do.
Variables read_block(const cgi::Environment& environment)
{
    Variables variables;
    std::string before;
    for (char* const* at = environment.envp(); *at != nullptr; ++at) {
        const std::string entry = *at;
        const auto equals = entry.find('=');
        require(equals != std::string::npos && equals > 0);
        const std::string name = entry.substr(0, equals);
        require(before.empty() || before < name);  // sorted, so none is there twice
        before = name;
        for (const char c : name)
            require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
        variables[name] = entry.substr(equals + 1);
    }
    require(environment.entries().size() == variables.size());
    return variables;
}

void check(const Variables& variables, const Variables& sent, const cgi::Script& script)
{
    for (const auto& [name, value] : variables) {
        require(!dangerous(name));
        if (forced.contains(name))
            continue;
        const auto found = sent.find(name);
        require((found != sent.end() && found->second == value) || defaulted.contains(name));
    }
    for (const std::string& name : defaulted)
        require(variables.contains(name) &&
                (name == "QUERY_STRING" || !variables.at(name).empty()));
    require(variables.at("GATEWAY_INTERFACE") == "CGI/1.1");
    require(variables.at("PATH") == "/usr/local/bin:/usr/bin:/bin");
    require(variables.at("SCRIPT_NAME") == script.name);
    require(variables.at("SCRIPT_FILENAME") == script.path);
    require(!variables.at("REQUEST_METHOD").empty());
    require(variables.contains("PATH_INFO") == !script.path_info.empty());
    require(script.path_info.empty() || variables.at("PATH_INFO") == script.path_info);
    const auto length = variables.find("CONTENT_LENGTH");
    if (length != variables.end())
        require(!length->second.empty() &&
                length->second.find_first_not_of("0123456789") == std::string::npos);
    require(!variables.contains("HTTP_CONTENT_LENGTH") && !variables.contains("HTTP_CONTENT_TYPE"));
}

// What is harmless must not get lost.
void check_kept(const Variables& variables, const Variables& sent)
{
    for (const auto& [name, value] : sent) {
        const bool harmless =
            name.starts_with("X_") && name.find_first_of("=\x7f") == std::string::npos &&
            std::none_of(name.begin(), name.end(), [](char c) { return c >= 0 && c < 32; });
        if (harmless && value.find('\0') == std::string::npos)
            require(variables.contains(name) && variables.at(name) == value);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    fcgi::Params params;
    if (size == 0 || !params.decode(std::string(reinterpret_cast<const char*>(data) + 1, size - 1)))
        return 0;
    cgi::EnvironmentRules rules;
    rules.pass_authorization = (data[0] & 1) == 0;
    cgi::Script script;
    script.path = "/srv/cgi/x.cgi";
    script.name = "/x.cgi";
    if ((data[0] & 2) != 0)
        script.path_info = "/info";
    if ((data[0] & 4) != 0)
        rules.env = {{"POOL_OWN", "1"}};

    Variables sent;
    for (const auto& [name, value] : params.pairs())
        sent[std::string(name)] = value;
    const auto built = cgi::build_environment(params, script, rules);
    if (!built) {
        require(built.error().status == 400 && !built.error().reason.empty());
        return 0;
    }
    const std::string method = sent["REQUEST_METHOD"];
    require(!method.empty() && method.find('\0') == std::string::npos);
    const Variables variables = read_block(built.value());
    check(variables, sent, script);
    check_kept(variables, sent);
    if (!rules.env.empty())
        require(variables.at("POOL_OWN") == "1");
    require(rules.pass_authorization || !variables.contains("HTTP_AUTHORIZATION"));
    return 0;
}
