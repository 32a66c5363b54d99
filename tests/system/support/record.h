// record.h - builds and reads FastCGI records byte by byte, also wrong ones.
// Units    lengths are bytes.
// Errors   parse_record throws ProtocolDefect on what no server may send.
// Source   FastCGI specification 1.0, sections 3.3, 3.4, 5.1, 8. Written from it, not from the
//          server's code: the two must not share a mistake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastcgi {

enum Type : std::uint8_t {
    begin_request = 1,
    abort_request,
    end_request,
    params,
    std_in,
    std_out,
    std_err,
    data,
    get_values,
    get_values_result,
    unknown_type,
};

enum Role : std::uint16_t { responder = 1, authorizer, filter };

enum Protocol : std::uint8_t { request_complete, cant_mpx_conn, overloaded, unknown_role };

constexpr std::size_t header_size = 8;
constexpr std::size_t largest_content = 65535;

}  // namespace fastcgi

struct ProtocolDefect : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Record {
    std::uint8_t version = 1;
    std::uint8_t type = 0;
    std::uint16_t id = 0;
    std::string content;
    std::uint8_t padding = 0;
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Padding bytes are not zero: a receiver must not look at them.
std::string bytes_of(const Record& record);

// A header alone, with any length it claims.
std::string record_header(std::uint8_t type,
                          std::uint16_t id,
                          std::size_t length,
                          std::uint8_t padding = 0);

// A stream in records of at most `piece` bytes, without the empty record that ends it.
std::string stream_of(std::uint8_t type,
                      std::uint16_t id,
                      std::string_view content,
                      std::size_t piece = 32768,
                      std::uint8_t padding = 0);

std::string begin_request(std::uint16_t id,
                          bool keep = false,
                          std::uint16_t role = fastcgi::responder);
std::string pair_of(std::string_view name, std::string_view value);
std::string pairs_of(const Pairs& pairs);
Pairs parse_pairs(std::string_view content);

// Takes one whole record from the front of `bytes`; nullopt when there is none yet.
// Version is returned as it is (0 is the server's sign of a reply that cannot be completed).
std::optional<Record> parse_record(std::string& bytes);
