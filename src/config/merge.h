// merge.h - lays the sources of a configuration over one another and remembers where each value
// came from. Knows keys and pools, not what values mean: that is check.h.
// Errors   collected in the Draft; add_target() throws StartError(exit_usage).
// Owner    load().
#pragma once

#include "config/ini.h"
#include "config/options.h"
#include "config/origin.h"
#include "config/settings.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace config {

// What stays the same for as long as a server runs.
struct Invocation {
    std::string program;                         // as it was called
    std::vector<std::string> words;              // its arguments
    std::string tricorn_args;                    // environment: TRICORN_ARGS
    std::optional<std::string> web_concurrency;  // environment: WEB_CONCURRENCY
    std::string directory;                       // for relative paths of the command line
    bool root = false;                           // started as root
};

// By section and key; of settings that take several values, one origin for each value. The empty
// key stands for the section itself. Values without an origin are defaults.
using Origins = std::map<std::pair<std::string, std::string>, std::vector<Origin>>;

struct Draft {
    Config config;
    Origins origins;
    std::vector<Problem> problems;
    std::vector<std::string> warnings;
};

class Merger {
public:
    explicit Merger(const Invocation& invocation) : invocation_(invocation) {}

    void add_file(Ini ini);
    void add_target(const std::string& target, const std::string& source);
    // A program that --run has been given without a pool: a pool of its own.
    void add_program(const std::string& program, const std::string& source);
    void add_options(const Options& options, const std::string& source);

    // Fills in what depends on the machine or on other settings.
    Draft finish();

private:
    // A value on its way in.
    struct Given {
        std::string key;
        std::string value;
        Origin origin;
        std::string label;      // what messages call the key: "workers", "--workers"
        std::string directory;  // for relative paths
    };

    void add_section(const Section& section);
    void add_entry(const Entry& entry);
    void add_item(const Options::Item& item, const std::string& source);
    void add_to_all(const Setting& setting, const Given& given);
    void put(const Setting& setting, Given given, Pool* pool);
    void unknown_key(const Given& given, Scope scope, bool usage);
    bool is_repeated(const Entry& entry, const Setting& setting);
    void put_target(Pool& pool,
                    std::string_view key,
                    const std::string& value,
                    const Origin& origin);
    Pool* find_pool(std::string_view name);
    Pool& add_pool(const std::string& name, const Origin& origin);
    void problem(const Origin& origin, const std::string& text, bool usage = false)
    {
        draft_.problems.push_back({origin, text, usage});
    }

    const Invocation& invocation_;
    Draft draft_;
    std::map<std::pair<std::string, std::string>, int> levels_;  // of lists that have been set
    std::vector<std::string> repeated_;                          // pools defined twice
    bool has_target_ = false;
    int level_ = 0;  // of the source; lists of a higher level replace those of a lower one
};

// "path" made absolute: a relative one starts at `directory`.
std::string absolute(const std::string& path, const std::string& directory);

}  // namespace config
