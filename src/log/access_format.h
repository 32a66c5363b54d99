// access_format.h - the format of an access log, compiled once into a list of pieces.
//
// Atoms    %(h)s REMOTE_ADDR   %(l)s "-"   %(u)s REMOTE_USER   %(t)s [start of the request]
//          %(r)s request line   %(m)s method   %(U)s path   %(q)s query   %(H)s protocol
//          %(s)s status   %(B)s bytes of the body   %(b)s the same, "-" for 0   %(f)s referer
//          %(a)s user agent   %(T)s seconds   %(M)s milliseconds   %(D)s microseconds
//          %(L)s seconds with a fraction   %(p)s <pid> of the worker
//          %({NAME}i)s request header   %({NAME}o)s header of the reply   %({NAME}e)s parameter
//          %(script)s program   %(pool)s   %(program_time)s milliseconds   %(exit)s exit status of
//          the program, or its signal (SIGSEGV)   %% a percent sign
// default  %(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(script)s
//          %(program_time)s %(exit)s
// json     time, pool, remote_addr, remote_user, method, uri, protocol, host, status, bytes,
//          referer, user_agent, script, request_ms, program_ms, exit, signal, pid; what is not
//          known is null. Bytes that are not UTF-8 become U+FFFD.
//
// Values come escaped: quote and backslash with a backslash, control characters and bytes that are
// not UTF-8 as \xHH; "-" when there is none.
//
// Errors   compile() says which atom is wrong.
// Owner    an AccessLog.
// Source   gunicorn's glogging.py (atoms); Apache mod_log_config (escapes in values).
#pragma once

#include "base/result.h"
#include "log/access_entry.h"

#include <string>
#include <string_view>
#include <vector>

class AccessFormat {
public:
    using Appender = void (*)(std::string& out, const AccessEntry& entry, const std::string& name);
    struct Piece {
        Appender append = nullptr;
        std::string name;  // of a header or parameter, or literal text
    };
    struct Error {
        std::string text;
    };

    // "default", "json", or text with atoms.
    static Result<AccessFormat, Error> compile(std::string_view format);

    // One line, without its newline.
    void append(std::string& out, const AccessEntry& entry) const
    {
        for (const auto& piece : pieces_)
            piece.append(out, entry, piece.name);
    }

private:
    std::vector<Piece> pieces_;
};
