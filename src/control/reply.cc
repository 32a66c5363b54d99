#include "control/reply.h"

#include <nlohmann/json.hpp>

namespace control {

using Json = nlohmann::json;

// Both ways. A missing member keeps its default: another version may have written the document.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(
    WorkerStatus, pid, state, current, age, requests, memory, elapsed, request, script)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(WorkerExit, time, pid, how, clean)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PoolStatus,
                                                name,
                                                handler,
                                                scaling,
                                                target,
                                                limit,
                                                full,
                                                queue,
                                                queue_size,
                                                idle,
                                                busy,
                                                total,
                                                requests,
                                                settled,
                                                retry,
                                                listeners,
                                                exits,
                                                workers)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ServerStatus,
                                                version,
                                                pid,
                                                uptime,
                                                state,
                                                config,
                                                reloads,
                                                reload_error,
                                                successor,
                                                successor_ready,
                                                successor_end,
                                                pools)

std::string write_reply(const Reply& reply)
{
    Json json;
    json["ok"] = reply.ok;
    if (!reply.error.empty())
        json["error"] = reply.error;
    if (!reply.message.empty())
        json["message"] = reply.message;
    if (!reply.config.empty())
        json["config"] = reply.config;
    if (reply.successor != 0)
        json["successor"] = reply.successor;
    if (reply.control)
        json["control"] = *reply.control;
    if (reply.status)
        json["status"] = *reply.status;
    // ASCII only: DEL and the C1 controls would go through otherwise.
    return json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

std::optional<Reply> read_reply(std::string_view document)
{
    const Json json = Json::parse(document, nullptr, false);
    if (!json.is_object() || !json.contains("ok"))
        return std::nullopt;
    try {
        Reply reply;
        json.at("ok").get_to(reply.ok);
        reply.error = json.value("error", reply.error);
        reply.message = json.value("message", reply.message);
        reply.config = json.value("config", reply.config);
        reply.successor = json.value("successor", reply.successor);
        if (json.contains("control"))
            reply.control = json["control"].get<std::string>();
        if (json.contains("status"))
            reply.status = json["status"].get<ServerStatus>();
        return reply;
    } catch (const Json::exception&) {  // a member of another type
        return std::nullopt;
    }
}

}  // namespace control
