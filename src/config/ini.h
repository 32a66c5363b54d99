// ini.h - reads a configuration file and what it includes. The only user of inih. A line is a
// [section], key = value, or a comment; it may be indented. A value ends before a blank that is
// followed by ; or # (written \; or \# it belongs to the value), loses the blanks at its ends and
// the double quotes around it; there are no continuation lines. CRLF and a BOM are taken.
// Units    lines from 1; a line has at most 8192 bytes, a file 4 MB.
// Errors   all of them in problems, in the order of the files; nothing throws.
// Source   inih 55; php-fpm's include (glob, 5 deep).
#pragma once

#include "config/origin.h"

#include <string>
#include <string_view>
#include <vector>

namespace config {

struct Entry {
    Origin origin;
    std::string section;
    std::string key;
    std::string value;
};

struct Section {
    Origin origin;
    std::string name;
};

struct Ini {
    std::vector<Section> sections;  // as they stand in the files, repeated ones too
    std::vector<Entry> entries;     // without `include`, which has been followed
    std::vector<Problem> problems;
    std::vector<std::string> warnings;
};

Ini read_ini(const std::string& path);

// A value as a file has to write it so that read_ini() gives it back.
std::string written(std::string_view value);

}  // namespace config
