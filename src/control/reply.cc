#include "control/reply.h"

#include <nlohmann/json.hpp>

namespace control {

namespace {

using Json = nlohmann::ordered_json;

// --- out ----------------------------------------------------------------------------------------

Json to_json(const WorkerStatus& worker)
{
    return {{"pid", worker.pid},
            {"state", worker.state},
            {"current", worker.current},
            {"age", worker.age},
            {"requests", worker.requests},
            {"memory", worker.memory},
            {"elapsed", worker.elapsed},
            {"request", worker.request},
            {"script", worker.script}};
}

Json to_json(const WorkerExit& exit)
{
    return {{"time", exit.time}, {"pid", exit.pid}, {"how", exit.how}, {"clean", exit.clean}};
}

Json to_json(const PoolStatus& pool);

template <class Item>
Json to_list(const std::vector<Item>& items)
{
    Json list = Json::array();
    for (const Item& item : items)
        list.push_back(to_json(item));
    return list;
}

Json to_json(const PoolStatus& pool)
{
    return {{"name", pool.name},
            {"handler", pool.handler},
            {"scaling", pool.scaling},
            {"target", pool.target},
            {"limit", pool.limit},
            {"full", pool.full},
            {"idle", pool.idle},
            {"busy", pool.busy},
            {"total", pool.total},
            {"requests", pool.requests},
            {"settled", pool.settled},
            {"retry", pool.retry},
            {"listeners", Json(pool.listeners)},
            {"exits", to_list(pool.exits)},
            {"workers", to_list(pool.workers)}};
}

Json to_json(const ServerStatus& server)
{
    return {{"version", server.version},
            {"pid", server.pid},
            {"uptime", server.uptime},
            {"state", server.state},
            {"config", server.config},
            {"reloads", server.reloads},
            {"reload_error", server.reload_error},
            {"pools", to_list(server.pools)}};
}

// --- in -----------------------------------------------------------------------------------------

// Throws what get() throws.
const Json& object(const Json& json)
{
    json.get_ref<const Json::object_t&>();
    return json;
}

// A missing member keeps its default: another version may have written the document.
template <class Value>
void take(const Json& json, const char* name, Value& value)
{
    if (const auto found = json.find(name); found != json.end())
        value = found->get<Value>();
}

void from_json(const Json& json, WorkerStatus& worker)
{
    take(json, "pid", worker.pid);
    take(json, "state", worker.state);
    take(json, "current", worker.current);
    take(json, "age", worker.age);
    take(json, "requests", worker.requests);
    take(json, "memory", worker.memory);
    take(json, "elapsed", worker.elapsed);
    take(json, "request", worker.request);
    take(json, "script", worker.script);
}

void from_json(const Json& json, WorkerExit& exit)
{
    take(json, "time", exit.time);
    take(json, "pid", exit.pid);
    take(json, "how", exit.how);
    take(json, "clean", exit.clean);
}

void from_json(const Json& json, PoolStatus& pool);

template <class Item>
void take_list(const Json& json, const char* name, std::vector<Item>& items)
{
    if (const auto found = json.find(name); found != json.end())
        for (const Json& each : *found)
            from_json(object(each), items.emplace_back());
}

void from_json(const Json& json, PoolStatus& pool)
{
    take(json, "name", pool.name);
    take(json, "handler", pool.handler);
    take(json, "scaling", pool.scaling);
    take(json, "target", pool.target);
    take(json, "limit", pool.limit);
    take(json, "full", pool.full);
    take(json, "idle", pool.idle);
    take(json, "busy", pool.busy);
    take(json, "total", pool.total);
    take(json, "requests", pool.requests);
    take(json, "settled", pool.settled);
    take(json, "retry", pool.retry);
    take(json, "listeners", pool.listeners);
    take_list(json, "exits", pool.exits);
    take_list(json, "workers", pool.workers);
}

void from_json(const Json& json, ServerStatus& server)
{
    take(json, "version", server.version);
    take(json, "pid", server.pid);
    take(json, "uptime", server.uptime);
    take(json, "state", server.state);
    take(json, "config", server.config);
    take(json, "reloads", server.reloads);
    take(json, "reload_error", server.reload_error);
    take_list(json, "pools", server.pools);
}

}  // namespace

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
    if (reply.status)
        json["status"] = to_json(*reply.status);
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
        take(json, "ok", reply.ok);
        take(json, "error", reply.error);
        take(json, "message", reply.message);
        take(json, "config", reply.config);
        if (const auto found = json.find("status"); found != json.end())
            from_json(object(*found), reply.status.emplace());
        return reply;
    } catch (const Json::exception&) {  // a member of another type
        return std::nullopt;
    }
}

}  // namespace control
