/*
 * tricorn_module.h - what a module for tricorn defines. C and C++; see tricorn_module(3).
 *
 * A module is a shared object that is loaded into each worker of a pool with `handler = module`.
 * It serves one request at a time and uses the streams with the functions of libfcgi.
 */
#ifndef TRICORN_MODULE_H
#define TRICORN_MODULE_H

#include <fcgiapp.h>

#if defined(__GNUC__)
#define TRICORN_EXPORT __attribute__((visibility("default")))
#else
#define TRICORN_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Serves a request. Writes a CGI reply to out: header fields, a blank line, the body. The result
 * is the exit status that the web server is told, 0 for success. All arguments are valid until it
 * returns.
 */
TRICORN_EXPORT int tricorn_handle(FCGX_ParamArray envp,
                                  FCGX_Stream* in,
                                  FCGX_Stream* out,
                                  FCGX_Stream* err);

/*
 * Optional: called once in each worker, as the user of the pool, before the first request. With a
 * result other than 0 the worker does not start.
 */
TRICORN_EXPORT int tricorn_init(void);

/* Optional: called once when a worker ends in good order. */
TRICORN_EXPORT void tricorn_exit(void);

#ifdef __cplusplus
}
#endif

#endif /* TRICORN_MODULE_H */
