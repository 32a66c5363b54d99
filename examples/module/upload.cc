// upload.cc - reads a request body of any size through a C++ stream and answers with its size and
// checksum.
//
//     c++ -shared -fPIC $(pkg-config --cflags --libs tricorn) -o upload.so upload.cc -lfcgi++
//     tricorn -b 127.0.0.1:9000 ./upload.so
#include <fcgio.h>

#include <cstdint>
#include <cstring>
#include <istream>
#include <ostream>
#include <vector>

#include <tricorn_module.h>

namespace {

// FNV-1a; enough to see that nothing was lost.
struct Checksum {
    std::uint64_t value = 14'695'981'039'346'656'037u;

    void add(const char* bytes, std::streamsize size)
    {
        for (std::streamsize i = 0; i < size; ++i)
            value = (value ^ static_cast<unsigned char>(bytes[i])) * 1'099'511'628'211u;
    }
};

}  // namespace

int tricorn_handle(FCGX_ParamArray envp, FCGX_Stream* in, FCGX_Stream* out, FCGX_Stream* err)
{
    fcgi_streambuf output_buffer(out);
    std::ostream output(&output_buffer);

    const char* const method = FCGX_GetParam("REQUEST_METHOD", envp);
    if (method == nullptr ||
        (std::strcmp(method, "POST") != 0 && std::strcmp(method, "PUT") != 0)) {
        output << "Status: 405 Method Not Allowed\r\n"
               << "Allow: POST, PUT\r\n\r\n";
        return 0;
    }

    std::vector<char> buffer(64 << 10);
    fcgi_streambuf input_buffer(in, buffer.data(), static_cast<int>(buffer.size()));
    std::istream input(&input_buffer);
    std::vector<char> piece(64 << 10);
    std::uint64_t size = 0;
    Checksum checksum;
    while (input.read(piece.data(), static_cast<std::streamsize>(piece.size())),
           input.gcount() > 0) {
        checksum.add(piece.data(), input.gcount());
        size += static_cast<std::uint64_t>(input.gcount());
    }

    // The end of the stream is also what a client that has left looks like.
    if (const int error = FCGX_GetError(in); error != 0) {
        FCGX_FPrintF(err,
                     "the upload broke off after %lu bytes: error %d\n",
                     static_cast<unsigned long>(size),
                     error);
        return 1;
    }
    output << "Content-Type: application/json\r\n\r\n"
           << "{\"size\": " << size << ", \"fnv1a\": \"" << std::hex << checksum.value << "\"}\n";
    return 0;
}
