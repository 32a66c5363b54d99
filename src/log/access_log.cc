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
    if (file == "syslog") {
        kind_ = Kind::syslog;
        logging::release_syslog();  // sets the name and facility
        return;
    }
    kind_ = Kind::output;
    output_ = file == "-" ? logging::Output::standard(STDOUT_FILENO) : logging::Output::file(file);
}

std::optional<std::string> AccessLog::check_format(const std::string& format)
{
    const auto compiled = AccessFormat::compile(format);
    return compiled ? std::nullopt : std::optional(compiled.error().text);
}

void AccessLog::write(const AccessEntry& entry)
{
    if (kind_ == Kind::none)
        return;
    line_.clear();
    format_.append(line_, entry);
    if (kind_ == Kind::syslog) {
        ::syslog(LOG_DAEMON | LOG_INFO, "%s", line_.c_str());
        return;
    }
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

UniqueFd AccessLog::reopen()
{
    if (!output_ || output_->path().empty())
        return UniqueFd();
    auto fd = output_->reopen();
    if (!fd)
        logging::error("cannot reopen the access log %s, the old file stays in use: %s",
                       output_->path().c_str(),
                       errno_text(output_->error()).c_str());
    return fd;
}

void AccessLog::adopt(UniqueFd fd)
{
    if (output_ && !output_->path().empty())
        output_->adopt(std::move(fd));
}

int AccessLog::descriptor() const noexcept
{
    return output_ ? output_->descriptor() : -1;
}
