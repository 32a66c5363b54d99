#include "log/access_json.h"

#include "base/process.h"

#include <array>
#include <cstdio>
#include <ctime>

#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(std::string_view value)
{
    return value.empty() ? Json() : Json(value);
}

// RFC 3339: 2026-11-22T10:11:12.345+01:00
std::string start_time(std::chrono::system_clock::time_point time)
{
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    const auto since = time.time_since_epoch();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
    std::tm local{};
    ::localtime_r(&seconds, &local);
    std::array<char, 40> text{};
    std::string out(text.data(),
                    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &local));
    std::snprintf(text.data(), text.size(), ".%03d", static_cast<int>(milliseconds % 1000));
    out += text.data();
    std::string zone(text.data(), std::strftime(text.data(), text.size(), "%z", &local));
    if (zone.size() == 5)
        zone.insert(3, 1, ':');
    return out + zone;
}

void add_request(Json& json, const AccessEntry& entry)
{
    const auto parameter = [&](const char* name) { return text_or_null(entry.params.get(name)); };
    json["time"] = start_time(entry.start);
    json["pool"] = text_or_null(entry.pool);
    json["remote_addr"] = parameter("REMOTE_ADDR");
    json["remote_user"] = parameter("REMOTE_USER");
    json["method"] = parameter("REQUEST_METHOD");
    json["uri"] = text_or_null(request_uri(entry));
    json["protocol"] = parameter("SERVER_PROTOCOL");
    json["host"] = parameter("HTTP_HOST");
    json["referer"] = parameter("HTTP_REFERER");
    json["user_agent"] = parameter("HTTP_USER_AGENT");
}

void add_reply(Json& json, const AccessEntry& entry)
{
    json["status"] = entry.status == 0 ? Json() : Json(entry.status);
    json["bytes"] = entry.bytes;
    json["request_ms"] = static_cast<double>(entry.elapsed.count()) / 1000;
    json["script"] = text_or_null(entry.script);
    json["program_ms"] = entry.program_time ? Json(entry.program_time->count()) : Json();
    json["exit"] = entry.exit_status ? Json(*entry.exit_status) : Json();
    json["signal"] = entry.exit_signal ? Json(signal_name(*entry.exit_signal)) : Json();
    json["pid"] = entry.worker;
}

}  // namespace

void append_json(std::string& out, const AccessEntry& entry, const std::string& /*unused*/)
{
    Json json;
    add_request(json, entry);
    add_reply(json, entry);
    // ASCII only: nlohmann-json leaves DEL and the C1 controls alone otherwise.
    out += json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string_view request_uri(const AccessEntry& entry)
{
    for (const char* name : {"REQUEST_URI", "DOCUMENT_URI", "SCRIPT_NAME"}) {
        const auto uri = entry.params.get(name);
        if (!uri.empty())
            return uri;
    }
    return {};
}
