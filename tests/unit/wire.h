// wire.h - FastCGI records as a web server sends them, and its view of what comes back. Written
// apart from src/fcgi, so that a mistake there is not repeated here.
// Errors   decode() stops at the first byte that is no well-formed record and says so in `broken`.
// Source   FastCGI 1.0 section 3.3 and 8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wire {

enum Type : unsigned {
    begin_request = 1,
    abort_request,
    end_request,
    params,
    stdin_stream,
    stdout_stream,
    stderr_stream,
    data,
    get_values,
    get_values_result,
    unknown_type,
};

enum Status : unsigned { request_complete = 0, cant_mpx_conn, overloaded, unknown_role };

inline std::string record(unsigned type,
                          unsigned id,
                          std::string_view content = {},
                          std::size_t padding = 0,
                          unsigned version = 1)
{
    const auto byte = [](std::size_t value) { return static_cast<char>(value & 0xff); };
    std::string out{byte(version),
                    byte(type),
                    byte(id >> 8),
                    byte(id),
                    byte(content.size() >> 8),
                    byte(content.size()),
                    byte(padding),
                    0};
    out.append(content);
    out.append(padding, 'p');  // not zero: nobody may look at it
    return out;
}

inline std::string begin(unsigned id, bool keep = false, unsigned role = 1)
{
    const char body[8] = {0, static_cast<char>(role), static_cast<char>(keep), 0, 0, 0, 0, 0};
    return record(begin_request, id, {body, sizeof body});
}

inline std::string length(std::size_t size)
{
    const auto byte = [](std::size_t value) { return static_cast<char>(value & 0xff); };
    if (size < 128)
        return {byte(size)};
    return {byte(size >> 24 | 0x80), byte(size >> 16), byte(size >> 8), byte(size)};
}

inline std::string pair(std::string_view name, std::string_view value)
{
    return length(name.size()) + length(value.size()) + std::string(name) + std::string(value);
}

// A stream cut into records of at most `size` bytes, with its end.
inline std::string stream(unsigned type,
                          unsigned id,
                          std::string_view bytes,
                          std::size_t size = 65'535,
                          std::size_t padding = 0)
{
    std::string out;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(size, bytes.size())))
        out += record(type, id, bytes.substr(0, size), padding);
    return out + record(type, id, {}, padding);
}

inline std::string head(unsigned id, std::string_view pairs, bool keep = false)
{
    return begin(id, keep) + stream(params, id, pairs);
}

inline std::string request(unsigned id,
                           std::string_view pairs,
                           std::string_view body,
                           bool keep = false)
{
    return head(id, pairs, keep) + stream(stdin_stream, id, body);
}

struct Record {
    unsigned type = 0;
    unsigned id = 0;
    std::string content;
};

struct Reply {
    std::vector<Record> records;
    std::string broken;  // empty: all bytes are well-formed records with zeroed padding

    std::string stream(unsigned type) const
    {
        std::string all;
        for (const Record& record : records)
            if (record.type == type)
                all += record.content;
        return all;
    }
    // The protocol and application status of the last END_REQUEST; -1 without one.
    int protocol_status() const
    {
        return end() == nullptr ? -1 : static_cast<unsigned char>(end()->content[4]);
    }
    long app_status() const
    {
        if (end() == nullptr)
            return -1;
        long status = 0;
        for (int i = 0; i < 4; ++i)
            status = status << 8 | static_cast<unsigned char>(end()->content[std::size_t(i)]);
        return status;
    }
    bool complete() const { return broken.empty() && protocol_status() == request_complete; }

private:
    const Record* end() const
    {
        for (auto record = records.rbegin(); record != records.rend(); ++record)
            if (record->type == end_request && record->content.size() == 8)
                return &*record;
        return nullptr;
    }
};

inline Reply decode(std::string_view bytes)
{
    Reply reply;
    const auto at = [&bytes](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    while (!bytes.empty()) {
        if (bytes.size() < 8) {
            reply.broken = "a cut header";
            return reply;
        }
        const std::size_t content = static_cast<std::size_t>(at(4) << 8 | at(5));
        const std::size_t padding = at(6);
        if (at(0) != 1 || at(7) != 0) {
            reply.broken = "a wrong version or reserved byte";
            return reply;
        }
        if (content + padding > 65'535 || bytes.size() < 8 + content + padding) {
            reply.broken = "a record that is too long or cut";
            return reply;
        }
        if (bytes.substr(8 + content, padding).find_first_not_of('\0') != std::string_view::npos) {
            reply.broken = "padding that is not zero";
            return reply;
        }
        reply.records.push_back({at(1),
                                 static_cast<unsigned>(at(2) << 8 | at(3)),
                                 std::string(bytes.substr(8, content))});
        bytes.remove_prefix(8 + content + padding);
    }
    return reply;
}

}  // namespace wire
