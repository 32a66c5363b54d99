#include "config/ini.h"

#include "base/error.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "config/settings.h"

#include <ini.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace config {
namespace {

constexpr std::size_t max_line = 8192;
constexpr std::size_t max_file = 4 << 20;
constexpr std::size_t max_depth = 5;

bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool begins_comment(char c)
{
    return c == ';' || c == '#';
}

// The line without its comment: a ; or # at its begin or after a blank.
std::string_view without_comment(std::string_view line)
{
    for (std::size_t i = 0; i < line.size(); ++i)
        if (begins_comment(line[i]) && (i == 0 || is_blank(line[i - 1])))
            return text::trim(line.substr(0, i));
    return text::trim(line);
}

// Calls edit(out, c, backslashes) for each ; and #, with the number of backslashes just before it.
template <class Edit>
std::string edit_marks(std::string_view value, Edit edit)
{
    std::string out;
    std::size_t backslashes = 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (begins_comment(value[i]))
            edit(out, i == 0 || is_blank(value[i - 1]), backslashes);
        out += value[i];
        backslashes = value[i] == '\\' ? backslashes + 1 : 0;
    }
    return out;
}

std::string unescaped(std::string_view value)
{
    return edit_marks(value, [](std::string& out, bool /*marks*/, std::size_t backslashes) {
        if (backslashes > 0)
            out.pop_back();
    });
}

std::string escaped(std::string_view value)
{
    return edit_marks(value, [](std::string& out, bool marks, std::size_t backslashes) {
        if (marks || backslashes > 0)
            out += '\\';
    });
}

// True for "text" in double quotes, with no quotes inside but another such pair.
bool is_quoted(std::string_view value)
{
    if (value.size() < 2 || value.front() != '"' || value.back() != '"')
        return false;
    const std::string_view inner = value.substr(1, value.size() - 2);
    return inner.find('"') == std::string_view::npos || is_quoted(inner);
}

// Hands a file's entries to inih line by line and keeps what inih does not tell: the line's number,
// sections without entries or with names over 49 bytes, lines that were not understood. inih's
// buffer (200 bytes in Debian) cuts longer lines, so these go in pieces that it takes for
// continuation lines.
class Parser {
public:
    Parser(const std::string& path, std::string_view text, Ini& out)
        : path_(path), rest_(text), out_(out)
    {
    }

    void parse() { ini_parse_stream(&Parser::read_line, this, &Parser::take_entry, this); }

private:
    // Exceptions must not pass through inih, hence noexcept: only bad_alloc could be thrown.
    static char* read_line(char* buffer, int size, void* self) noexcept
    {
        return static_cast<Parser*>(self)->next(buffer, static_cast<std::size_t>(size));
    }

    static int take_entry(void* self,
                          const char* /*section*/,
                          const char* name,
                          const char* value) noexcept
    {
        static_cast<Parser*>(self)->entry(name, value);
        return 1;
    }

    char* next(char* buffer, std::size_t size);
    std::string_view next_line();
    void begin_section(std::string_view line);
    void begin_entry(std::string_view line, std::size_t room);
    void entry(std::string_view name, std::string_view value);
    void finish_entry();
    void problem(std::string text) { out_.problems.push_back({here(), std::move(text)}); }
    Origin here() const { return {path_, line_}; }

    const std::string& path_;
    std::string_view rest_;  // what has not been read yet
    Ini& out_;
    int line_ = 0;
    bool in_section_ = false;
    bool skipping_ = false;         // after a broken [section line: its entries are nobody's
    std::string piece_;             // what goes to inih next
    std::string_view more_;         // rest of a line that is too long for inih
    bool expected_ = false;         // the piece must come back through entry()
    std::optional<Entry> current_;  // the entry of this line, as far as it is known
};

char* Parser::next(char* buffer, std::size_t size)
{
    if (expected_) {
        problem(text::in_quotes(piece_) +
                " is not understood: write [NAME], key = value or # comment");
        current_.reset();
        more_ = {};
    }
    expected_ = false;
    const std::size_t room = size - 3;  // a tab, the newline and the NUL
    if (!more_.empty()) {
        begin_entry(more_, room);
        piece_.insert(0, 1, '\t');
    } else {
        finish_entry();
        if (rest_.empty())
            return nullptr;
        piece_.clear();
        const std::string_view line = next_line();
        if (line.starts_with('['))
            begin_section(line);
        else if (!line.empty())
            begin_entry(line, room);
    }
    piece_ += '\n';
    std::memcpy(buffer, piece_.c_str(), piece_.size() + 1);
    piece_.pop_back();
    return buffer;
}

// The next line without its comment, its end and its indent; empty as well when it is unusable.
std::string_view Parser::next_line()
{
    static constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    const std::size_t length = std::min(rest_.find('\n'), rest_.size());
    std::string_view line = rest_.substr(0, length);
    rest_.remove_prefix(std::min(length + 1, rest_.size()));
    if (++line_ == 1 && line.starts_with(byte_order_mark))
        line.remove_prefix(byte_order_mark.size());
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    if (line.find('\0') != std::string_view::npos) {
        problem("the line holds a NUL byte: text in UTF-8 is needed");
        return {};
    }
    line = without_comment(line);
    if (has_control(line)) {
        problem(text::in_quotes(line) + " holds control characters: printable text only");
        return {};
    }
    if (line.size() > max_line) {
        problem("the line is too long: at most " + std::to_string(max_line) + " bytes");
        return {};
    }
    return line;
}

void Parser::begin_section(std::string_view line)
{
    const std::size_t end = line.find(']');
    const std::string_view name = text::trim(line.substr(1, std::min(end, line.size()) - 1));
    in_section_ = true;
    skipping_ = end + 1 != line.size() || name.empty();
    if (end == std::string_view::npos)
        problem(text::in_quotes(line) + " lacks its ]: write [NAME]");
    else if (skipping_)
        problem(text::in_quotes(line) + " is not a section: write [NAME]");
    else
        out_.sections.push_back({here(), std::string(name)});
}

// Takes as much of an entry's line as inih has room for.
void Parser::begin_entry(std::string_view line, std::size_t room)
{
    expected_ = true;
    std::size_t length = line.size();
    if (length > room) {
        // A cut between two letters: inih strips blanks and takes ; and # for comments.
        for (length = room; length > 0; --length)
            if (!is_blank(line[length - 1]) && !is_blank(line[length]) &&
                !begins_comment(line[length]))
                break;
    }
    piece_ = line.substr(0, length);
    more_ = line.substr(length);
}

void Parser::entry(std::string_view name, std::string_view value)
{
    expected_ = false;
    if (current_)
        current_->value += value;
    else
        current_ = Entry{here(),
                         out_.sections.empty() ? "" : out_.sections.back().name,
                         std::string(name),
                         std::string(value)};
}

void Parser::finish_entry()
{
    auto entry = std::exchange(current_, std::nullopt);
    if (!entry || skipping_)
        return;
    if (!in_section_)
        problem(entry->key + ": stands before the first section: write [global] or [NAME] first");
    else if (entry->key.empty())
        problem("there is no key before the =: write key = value");
    else {
        if (is_quoted(entry->value))
            entry->value = entry->value.substr(1, entry->value.size() - 2);
        entry->value = unescaped(entry->value);
        out_.entries.push_back(std::move(*entry));
    }
}

// A pipe is written to at once, or by nobody.
constexpr int pipe_patience = 2'000;  // milliseconds

// The whole file, or why not. pipe: it may be one, as in --config <(command). Never waits for long:
// a reload reads it again.
std::optional<std::string> read_file(const std::string& path, bool pipe, std::string& why)
{
    const auto failed = [&why] { return why = errno_text(errno), std::nullopt; };
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    struct stat status {};
    if (fd.get() < 0 || ::fstat(fd.get(), &status) < 0)
        return failed();
    if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode) &&
        !(pipe && S_ISFIFO(status.st_mode))) {
        why = S_ISDIR(status.st_mode) ? errno_text(EISDIR) : "it is no file";
        return std::nullopt;
    }
    std::string text;
    char buffer[16384];
    for (;;) {
        const ssize_t length = ::read(fd.get(), buffer, sizeof buffer);
        pollfd more{fd.get(), POLLIN, 0};
        if (length < 0 &&
            (errno == EINTR || (errno == EAGAIN && ::poll(&more, 1, pipe_patience) > 0)))
            continue;
        if (length < 0)
            return failed();
        if (length == 0)
            return text;
        text.append(buffer, static_cast<std::size_t>(length));
        if (text.size() > max_file) {
            why = errno_text(EFBIG);
            return std::nullopt;
        }
    }
}

bool is_include(const Entry& entry)
{
    const Setting* setting =
        entry.section == "global" ? find_setting(Scope::global, entry.key) : nullptr;
    return setting != nullptr && setting->type == Type::include;
}

// Reads files into one Ini, following their includes.
class Files {
public:
    void read(const std::string& path, const Origin& origin, const std::string& key);
    Ini take() { return std::move(ini_); }

private:
    void include(const Entry& entry);
    void problem(const Origin& origin, const std::string& text)
    {
        ini_.problems.push_back({origin, text});
    }

    Ini ini_;
    std::vector<std::pair<dev_t, ino_t>>
        open_;  // the files that include one another, outermost first
};

void Files::read(const std::string& path, const Origin& origin, const std::string& key)
{
    struct stat status {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    const std::pair identity(status.st_dev, status.st_ino);
    if (exists && std::ranges::find(open_, identity) != open_.end())
        return problem(origin, key + path + " includes itself: remove this line");
    if (open_.size() > max_depth)
        return problem(origin,
                       key + "files include one another over " + std::to_string(max_depth) +
                           " deep: include " + path + " from a file further up");
    std::string why;
    const auto text = read_file(path, open_.empty(), why);
    if (!text)
        return problem(origin, key + (key.empty() ? "" : path + ": ") + "cannot be read: " + why);

    Ini file;
    Parser(path, *text, file).parse();
    std::vector<Entry> includes;
    for (Entry& entry : file.entries)
        (is_include(entry) ? includes : ini_.entries).push_back(std::move(entry));
    std::ranges::move(file.sections, std::back_inserter(ini_.sections));
    std::ranges::move(file.problems, std::back_inserter(ini_.problems));
    open_.push_back(identity);
    for (const Entry& entry : includes)
        include(entry);
    open_.pop_back();
}

void Files::include(const Entry& entry)
{
    const std::string& file = entry.origin.source;
    std::string pattern = entry.value;
    if (!pattern.empty() && pattern.front() != '/')
        pattern.insert(0, file, 0, file.rfind('/') + 1);

    glob_t found{};
    errno = 0;
    const int result = ::glob(pattern.c_str(), GLOB_ERR, nullptr, &found);
    const int error = errno;
    std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    std::ranges::sort(paths);  // glob(3) sorts as the locale says
    const bool has_wildcard = pattern.find_first_of("*?[") != std::string::npos;
    // A missing directory is no mistake either: packages make pools.d when the first pool comes.
    const bool none = result == GLOB_NOMATCH || (result == GLOB_ABORTED && error == ENOENT);
    if (none && has_wildcard)
        ini_.warnings.push_back(entry.origin.text() + ": " + entry.key + ": no file matches " +
                                pattern);
    else if (none && !pattern.empty())
        problem(entry.origin,
                entry.key + ": " + pattern + " does not exist: name a file or a pattern");
    else if (result != 0 && !none)
        problem(entry.origin, entry.key + ": " + pattern + " cannot be read: " + errno_text(error));
    for (const auto& path : paths)
        read(path, entry.origin, entry.key + ": ");
}

}  // namespace

Ini read_ini(const std::string& path)
{
    Files files;
    files.read(path, Origin{path, 0}, "");
    return files.take();
}

std::string written(std::string_view value)
{
    std::string text = escaped(value);
    if (is_quoted(text) || text::trim(text).size() != text.size())
        text = '"' + text + '"';
    return text;
}

}  // namespace config
