// access_json.h - a request as one JSON object on one line.
// Units    as in access_format.h, which names the keys.
// Errors   none: bytes that are not UTF-8 become U+FFFD, control characters are escaped.
// Owner    an AccessFormat.
#pragma once

#include "log/access_entry.h"

#include <string>
#include <string_view>

void append_json(std::string& out, const AccessEntry& entry, const std::string& unused);

// What both forms of the log say: the URI as the client sent it.
std::string_view request_uri(const AccessEntry& entry);
