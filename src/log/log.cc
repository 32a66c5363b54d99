#include "log/log.h"

#include "base/error.h"
#include "base/text.h"
#include "log/output.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

namespace logging {

namespace {

constexpr std::array<const char*, 5> level_names{"debug", "info", "warning", "error", "critical"};
constexpr const char* program_name = "tricorn";

spdlog::level::level_enum to_spdlog(Level level)
{
    switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::critical: return spdlog::level::critical;
    }
    return spdlog::level::critical;
}

Level from_spdlog(spdlog::level::level_enum level)
{
    switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return Level::debug;
    case spdlog::level::info: return Level::info;
    case spdlog::level::warn: return Level::warning;
    case spdlog::level::err: return Level::error;
    default: return Level::critical;
    }
}

// The journal says which stream is its own; stderr may have been redirected since.
bool stderr_is_journal()
{
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status {};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0)
        return false;
    return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) == stream;
}

// Of syslog and of the journal.
int severity_of(Level level)
{
    static constexpr std::array<int, 5> severities{
        LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT};
    return severities[static_cast<std::size_t>(level)];
}

void append_time(std::string& out, std::chrono::system_clock::time_point time)
{
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    const auto since = time.time_since_epoch();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
    std::tm local{};
    ::localtime_r(&seconds, &local);
    std::array<char, 40> text{};
    out.append(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local));
    std::snprintf(text.data(), text.size(), ".%03d ", static_cast<int>(milliseconds % 1000));
    out.append(text.data());
    out.append(text.data(), std::strftime(text.data(), text.size(), "%z", &local));
}

// A sink of spdlog over our own Output: spdlog's file sinks throw on a full disk and end lines with
// a second write.
class OutputSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
    enum class Form { dated, journal, plain, syslog };

    OutputSink(Output output, Form form) : output_(std::move(output)), form_(form) {}
    Output& output() { return output_; }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        line_.clear();
        if (const auto lost = output_.lost(); lost > 0) {
            append_line(Level::warning,
                        message.time,
                        std::to_string(lost) + (lost == 1 ? " line" : " lines") +
                            " of this log lost: " + errno_text(output_.error()));
            // A message of its own; lines of a file go out together, so that they stay so.
            if (form_ == Form::syslog && output_.write(line_))
                output_.clear_lost();
            if (form_ == Form::syslog)
                line_.clear();
        }
        append_line(from_spdlog(message.level),
                    message.time,
                    std::string_view(message.payload.data(), message.payload.size()));
        if (output_.write(line_) && form_ != Form::syslog)
            output_.clear_lost();
    }

    void flush_() override {}

private:
    void append_line(Level level, spdlog::log_clock::time_point time, std::string_view text)
    {
        switch (form_) {
        case Form::journal:
            line_.append("<").append(std::to_string(severity_of(level))).append(">");
            break;
        case Form::dated:
            append_time(line_, time);
            line_.append(" [").append(std::to_string(::getpid())).append("] ");
            line_.append(level_names[static_cast<std::size_t>(level)]).append(": ");
            break;
        case Form::syslog: line_.append(syslog_head(severity_of(level))); break;
        case Form::plain:
            line_.append(program_name).append(": ");
            line_.append(level_names[static_cast<std::size_t>(level)]).append(": ");
            break;
        }
        line_ += text;
        line_ += '\n';
    }

    Output output_;
    Form form_;
    std::string line_;
};

struct ErrorLog {
    std::shared_ptr<OutputSink> sink;
    spdlog::logger logger{"tricorn"};

    ErrorLog()
    {
        use_stderr(false);
        logger.set_level(spdlog::level::info);
    }

    void use(std::shared_ptr<OutputSink> next)
    {
        logger.sinks().assign(1, next);
        sink = std::move(next);
    }

    void use_stderr(bool plain)
    {
        using Form = OutputSink::Form;
        const Form form = plain ? Form::plain : stderr_is_journal() ? Form::journal : Form::dated;
        use(std::make_shared<OutputSink>(Output::standard(STDERR_FILENO), form));
    }

    void use_syslog()
    {
        auto output = Output::syslog();
        if (output.descriptor() < 0)
            warning("cannot reach syslog, lines are lost until it is there: %s: %s",
                    output.path().c_str(),
                    errno_text(output.error()).c_str());
        use(std::make_shared<OutputSink>(std::move(output), OutputSink::Form::syslog));
    }
};

// Made at the first use, so that it works in tests and before main() has read its options. Never
// destroyed: destructors of other static objects may still log.
ErrorLog& error_log()
{
    static auto* const log = new ErrorLog;
    return *log;
}

// vsnprintf(3) into a string of the length that it takes.
std::string format_text(const char* format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    std::array<char, 512> buffer{};
    const int length = std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
    std::string text(buffer.data());
    if (length >= static_cast<int>(buffer.size())) {
        text.resize(static_cast<std::size_t>(length));
        std::vsnprintf(text.data(), text.size() + 1, format, again);
    }
    va_end(again);
    return text;
}

void write_formatted(Level level, const char* format, va_list arguments)
{
    const int error = errno;  // callers may go on with the errno that they log
    if (enabled(level))
        write(level, format_text(format, arguments));
    errno = error;
}

}  // namespace

void open(const Target& target)
{
    auto& log = error_log();
    if (target.syslog)
        log.use_syslog();
    else if (target.file == "-")
        log.use_stderr(target.plain);
    else
        log.use(std::make_shared<OutputSink>(Output::file(target.file), OutputSink::Form::dated));
    log.logger.set_level(to_spdlog(target.level));
}

bool enabled(Level level) noexcept
{
    return error_log().logger.should_log(to_spdlog(level));
}

void write(Level level, std::string_view text)
{
    const int error = errno;
    if (!enabled(level))
        return;
    const auto escaped = text::escape_control(text);
    error_log().logger.log(to_spdlog(level), spdlog::string_view_t(escaped.data(), escaped.size()));
    errno = error;
}

// One function for each level: va_list does not pass through a template.
#define TRICORN_WRITE(level)                                                                       \
    va_list arguments;                                                                             \
    va_start(arguments, format);                                                                   \
    write_formatted(level, format, arguments);                                                     \
    va_end(arguments)

void debug(const char* format, ...)
{
    TRICORN_WRITE(Level::debug);
}

void info(const char* format, ...)
{
    TRICORN_WRITE(Level::info);
}

void warning(const char* format, ...)
{
    TRICORN_WRITE(Level::warning);
}

void error(const char* format, ...)
{
    TRICORN_WRITE(Level::error);
}

void critical(const char* format, ...)
{
    TRICORN_WRITE(Level::critical);
}

#undef TRICORN_WRITE

std::optional<Level> parse_level(std::string_view name)
{
    for (std::size_t i = 0; i < level_names.size(); ++i) {
        if (name == level_names[i])
            return static_cast<Level>(i);
    }
    return std::nullopt;
}

std::string reopen()
{
    auto& output = error_log().sink->output();
    if (output.reopen())
        return {};
    std::string problem = "cannot reopen the error log " + output.path() +
                          ", the old one stays in use: " + errno_text(output.error());
    error("%s", problem.c_str());
    return problem;
}

UniqueFd share()
{
    const auto& output = error_log().sink->output();
    return output.path().empty() ? UniqueFd() : output.share();
}

void separate()
{
    error_log().sink->output().separate();
}

void adopt(UniqueFd fd)
{
    auto& output = error_log().sink->output();
    if (!output.path().empty())
        output.adopt(std::move(fd));
}

void connect_again()
{
    error_log().sink->output().connect_again();
}

int descriptor() noexcept
{
    return error_log().sink->output().descriptor();
}

}  // namespace logging
