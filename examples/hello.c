/* hello.c - a CGI program in C: the smallest useful one, and the one `make bench` measures. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const char* const method = getenv("REQUEST_METHOD");

    fputs("Content-Type: text/plain\r\n\r\nHello from a C program.\n", stdout);
    if (method == NULL)
        fputs("No REQUEST_METHOD: this is meant to be started by a web server.\n", stdout);
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
