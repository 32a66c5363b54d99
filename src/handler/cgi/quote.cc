#include "handler/cgi/quote.h"

#include "base/text.h"

namespace cgi {

std::string in_quotes(std::string_view text, std::size_t limit)
{
    return "'" + text::escape_control(text.substr(0, limit)) + (text.size() > limit ? "'..." : "'");
}

}  // namespace cgi
