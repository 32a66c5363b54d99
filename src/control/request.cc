#include "control/request.h"

#include "base/text.h"
#include "config/values.h"

#include <algorithm>
#include <climits>
#include <vector>

namespace control {

namespace {

struct Form {
    std::string_view word;
    Command command;
    std::string_view arguments;
};

constexpr Form forms[] = {
    {"status", Command::status, ""},
    {"pools", Command::status, ""},  // tricornctl shows less of it
    {"workers", Command::status, ""},
    {"config", Command::config, ""},
    {"reload", Command::reload, ""},
    {"stop", Command::stop, ""},
    {"quit", Command::quit, ""},
    {"reopen", Command::reopen, ""},
    {"upgrade", Command::upgrade, ""},
    {"rollback", Command::rollback, ""},
    {"scale", Command::scale, "POOL N"},
    {"kill", Command::kill, "PID"},
};

std::vector<std::string_view> split(std::string_view line)
{
    static constexpr std::string_view blanks = " \t";
    std::vector<std::string_view> words;
    for (;;) {
        line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
        if (line.empty())
            return words;
        words.push_back(line.substr(0, line.find_first_of(blanks)));
        line.remove_prefix(words.back().size());
    }
}

std::string unknown(std::string_view word)
{
    std::string text = text::in_quotes(word) + " is no command; these are:";
    for (const Form& form : forms)
        text.append(" ").append(form.word);
    return text;
}

// "3", "+2", "-1"; what is wrong with it, or nothing.
std::string take_count(std::string_view word, Request& request)
{
    request.relative = word.starts_with('+') || word.starts_with('-');
    const bool fewer = word.starts_with('-');
    const auto count =
        config::parse_number(word.substr(request.relative ? 1 : 0), {1, most_workers});
    if (!count)
        return "scale: " + count.error();
    request.count = static_cast<int>(count.value()) * (fewer ? -1 : 1);
    return {};
}

std::string take_arguments(const std::vector<std::string_view>& words, Request& request)
{
    if (request.command == Command::scale) {
        request.pool = words[1];
        return take_count(words[2], request);
    }
    if (request.command == Command::kill) {
        const auto pid = config::parse_number(words[1], {1, INT_MAX});
        if (!pid)
            return "kill: " + pid.error();
        request.pid = static_cast<pid_t>(pid.value());
    }
    return {};
}

}  // namespace

Result<Request, std::string> parse_request(std::string_view line)
{
    if (config::has_control(line))
        return std::string("there are control characters in the request");
    const auto words = split(line);
    if (words.empty())
        return std::string("no command was given");
    const auto* const form = std::ranges::find(forms, words[0], &Form::word);
    if (form == std::end(forms))
        return unknown(words[0]);
    if (words.size() != 1 + split(form->arguments).size()) {
        const std::string right = std::string(form->word) + (form->arguments.empty() ? "" : " ") +
                                  std::string(form->arguments);
        return "wrong number of arguments: " + right + " would be right";
    }
    Request request;
    request.command = form->command;
    if (std::string wrong = take_arguments(words, request); !wrong.empty())
        return wrong;
    return request;
}

}  // namespace control
