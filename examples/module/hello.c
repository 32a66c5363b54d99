/*
 * hello.c - the smallest useful module: answers every request.
 *
 *     cc -shared -fPIC $(pkg-config --cflags --libs tricorn) -o hello.so hello.c
 *     tricorn -b 127.0.0.1:9000 ./hello.so
 */
#include <tricorn_module.h>
#include <unistd.h>

static unsigned long requests; /* of this worker: a module lives as long as it */

int tricorn_handle(FCGX_ParamArray envp, FCGX_Stream* in, FCGX_Stream* out, FCGX_Stream* err)
{
    const char* address = FCGX_GetParam("REMOTE_ADDR", envp);

    (void)in;
    (void)err;
    FCGX_FPrintF(out,
                 "Content-Type: text/plain; charset=utf-8\r\n"
                 "\r\n"
                 "Hello, %s!\n"
                 "This is request %lu of worker %ld.\n",
                 address != NULL ? address : "stranger",
                 ++requests,
                 (long)getpid());
    return 0;
}
