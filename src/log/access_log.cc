#include "log/access_log.h"

#include "base/error.h"
#include "log/log.h"

#include <cerrno>
#include <stdexcept>
#include <utility>

#include <syslog.h>
#include <unistd.h>

namespace {

AccessFormat compile_or_throw(const std::string& format)
{
    auto compiled = AccessFormat::compile(format);
    if (!compiled)
        throw std::invalid_argument("access_log_format: " + compiled.error().text);
    return std::move(compiled.value());
}

}  // namespace

AccessLog::AccessLog(const std::string& format, const std::string& file)
    : format_(compile_or_throw(format))
{
    if (file.empty())
        return;
    output_ = file == "-"        ? logging::Output::standard(STDOUT_FILENO)
              : file == "syslog" ? logging::Output::syslog()
                                 : logging::Output::file(file);
}

std::optional<std::string> AccessLog::check_format(const std::string& format)
{
    const auto compiled = AccessFormat::compile(format);
    return compiled ? std::nullopt : std::optional(compiled.error().text);
}

void AccessLog::write(const AccessEntry& entry)
{
    if (!output_)
        return;
    line_.clear();
    if (output_->is_syslog())
        line_ += logging::syslog_head(LOG_INFO);
    format_.append(line_, entry);
    line_ += '\n';
    send(line_);
}

// The error log hears of a log that fails once, and once of how many lines that has cost.
void AccessLog::send(std::string_view line)
{
    const auto lost = output_->lost();
    const char* name = output_->path().empty() ? "stdout" : output_->path().c_str();
    if (!output_->write(line)) {
        if (lost == 0)
            logging::error(
                "cannot write the access log (%s): %s", name, errno_text(output_->error()).c_str());
        return;
    }
    if (lost == 0)
        return;
    output_->clear_lost();
    logging::warning("the access log (%s) works again; lines lost: %llu",
                     name,
                     static_cast<unsigned long long>(lost));
}

std::string AccessLog::reopen()
{
    if (!output_ || output_->reopen())
        return {};
    std::string problem = "cannot reopen the access log " + output_->path() +
                          ", the old one stays in use: " + errno_text(output_->error());
    logging::error("%s", problem.c_str());
    return problem;
}

UniqueFd AccessLog::share() const
{
    return !output_ || output_->path().empty() ? UniqueFd() : output_->share();
}

void AccessLog::adopt(UniqueFd fd)
{
    if (output_ && !output_->path().empty())
        output_->adopt(std::move(fd));
}

void AccessLog::connect_again()
{
    if (output_)
        output_->connect_again();
}

int AccessLog::descriptor() const noexcept
{
    return output_ ? output_->descriptor() : -1;
}
