// check.h - judges a configuration as a whole: what a pool lacks, what contradicts, what does not
// exist. Looks at files, users and addresses, and changes nothing.
// Errors   added to the draft's problems; what is only odd, to its warnings.
// Source   php-fpm's and suexec's checks at start.
#pragma once

#include "config/merge.h"

namespace config {

// `file` is the configuration file, for what no line is to blame for.
void check(Draft& draft, const Invocation& invocation, const std::string& file);

}  // namespace config
