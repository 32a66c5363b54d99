// wire_names.h - which parameters of a request may become variables of a program. The names that
// may not are those that steer what runs before or beneath the program's own code: whoever can send
// a request must not choose that. The pool's env.NAME may set all of them.
// Errors   none.
// Source   glibc's unsecure-envvars; the manuals of the shells and interpreters; CVE-2016-5385
//          (httpoxy); CVE-2014-6271 (functions in bash's environment).
#pragma once

#include <string_view>

namespace cgi {

// A name that an environment can hold: not empty, no '=' and no control character.
bool is_variable_name(std::string_view name);

// False for names that only the administrator may set.
bool may_come_from_wire(std::string_view name);

}  // namespace cgi
