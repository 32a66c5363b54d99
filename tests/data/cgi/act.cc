/* act.cc - a CGI program that does what its query string says, step by step, for the system tests.
 *
 * QUERY_STRING is a list of steps, STEP or STEP=ARGUMENT, with '&' between them; arguments are
 * bytes in URL encoding. Times are milliseconds. A program that ends without `exit` or `kill` exits
 * with 0.
 *
 *   text=BYTES    a header (text/plain) and the bytes     plain         the header alone
 *   out=BYTES     to stdout       err=BYTES   to stderr   slow=BYTES    to stdout, byte by byte, 1
 * ms each fill=N        N bytes of a known pattern to stdout    errfill=N     N bytes 'e' to stderr
 *   read=N        read N bytes    drain       read all    echo          copy stdin to stdout
 *   count         read all and print how many bytes came
 *   sleep=MS      close=FD        exit=N      kill=SIGNO  (itself)      group=SIGNO  (its process
 * group) ignore=SIGNO  write=PATH      (the process id into the file)        wait=PATH  until the
 * file is there fork          what follows up to `end` is done by a child alone, which then exits
 *   setsid        a session of its own
 *   env args fds signals ids process limits    entries NAME=VALUE, each ended by NUL
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char** arguments;

static void put(int fd, const char* bytes, size_t size)
{
    while (size > 0) {
        const ssize_t done = write(fd, bytes, size);
        if (done < 0)
            _exit(111);
        bytes += done;
        size -= (size_t)done;
    }
}

static void say(const char* text)
{
    put(1, text, strlen(text));
}

static void entry(const char* name, const char* value)
{
    say(name);
    say("=");
    put(1, value, strlen(value) + 1);
}

static void number_entry(const char* name, long value)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    entry(name, text);
}

static void nap(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* Decodes in place; the length, because the bytes may hold a NUL. */
static size_t decode(char* text)
{
    char* to = text;
    for (const char* from = text; *from != '\0'; ++to) {
        if (*from == '%' && from[1] != '\0' && from[2] != '\0') {
            const char digits[] = {from[1], from[2], '\0'};
            *to = (char)strtol(digits, nullptr, 16);
            from += 3;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

static void fill(int fd, long size, int pattern)
{
    static char block[65536];
    for (size_t i = 0; i < sizeof block; ++i)
        block[i] = pattern ? (char)(i * 31 + i / 256) : 'e';
    for (; size > 0; size -= (long)sizeof block)
        put(fd, block, size < (long)sizeof block ? (size_t)size : sizeof block);
}

/* Reads up to `most` bytes or all; returns how many came; copies them when asked. */
static long take(long most, int copy)
{
    static char block[65536];
    long total = 0;
    while (most < 0 || total < most) {
        size_t want = sizeof block;
        if (most >= 0 && most - total < (long)want)
            want = (size_t)(most - total);
        const ssize_t got = read(0, block, want);
        if (got <= 0)
            break;
        if (copy)
            put(1, block, (size_t)got);
        total += got;
    }
    return total;
}

static void show_environment(void)
{
    for (char** name = environ; *name != nullptr; ++name)
        put(1, *name, strlen(*name) + 1);
}

static void show_arguments(void)
{
    for (char** argument = arguments; *argument != nullptr; ++argument)
        put(1, *argument, strlen(*argument) + 1);
}

static void show_descriptors(void)
{
    char path[64];
    char target[4096];
    DIR* list = opendir("/proc/self/fd");
    for (const struct dirent* item = readdir(list); item != nullptr; item = readdir(list)) {
        const int fd = atoi(item->d_name);
        if (item->d_name[0] == '.' || fd == dirfd(list))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        const ssize_t size = readlink(path, target, sizeof target - 1);
        target[size < 0 ? 0 : size] = '\0';
        entry(item->d_name, target);
    }
    closedir(list);
}

/* Lines of /proc/self/status that begin with one of the names. */
static void show_status(const char* const* names)
{
    char line[512];
    FILE* status = fopen("/proc/self/status", "re");
    while (status != nullptr && fgets(line, sizeof line, status) != nullptr)
        for (const char* const* name = names; *name != nullptr; ++name) {
            const size_t size = strlen(*name);
            if (strncmp(line, *name, size) != 0 || line[size] != ':')
                continue;
            line[strcspn(line, "\n")] = '\0';
            entry(*name, line + size + 1 + strspn(line + size + 1, "\t "));
        }
    if (status != nullptr)
        fclose(status);
}

static void show_signals(void)
{
    static const char* const names[] = {"SigBlk", "SigIgn", "SigCgt", nullptr};
    show_status(names);
}

static void show_ids(void)
{
    static const char* const names[] = {"Uid", "Gid", "Groups", "NoNewPrivs", "CapEff", nullptr};
    show_status(names);
}

static void show_process(void)
{
    char directory[4096];
    const mode_t mask = umask(0);
    umask(mask);
    number_entry("pid", getpid());
    number_entry("ppid", getppid());
    number_entry("pgid", getpgrp());
    number_entry("sid", getsid(0));
    number_entry("umask", (long)mask);
    number_entry("nice", getpriority(PRIO_PROCESS, 0));
    entry("cwd", getcwd(directory, sizeof directory) == nullptr ? "?" : directory);
}

static void show_limits(void)
{
    static const struct {
        const char* name;
        __rlimit_resource resource;
    } all[] = {{"cpu", RLIMIT_CPU},
               {"as", RLIMIT_AS},
               {"nproc", RLIMIT_NPROC},
               {"nofile", RLIMIT_NOFILE},
               {"fsize", RLIMIT_FSIZE},
               {"core", RLIMIT_CORE}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
        struct rlimit limit;
        getrlimit(all[i].resource, &limit);
        number_entry(all[i].name, limit.rlim_cur == RLIM_INFINITY ? -1 : (long)limit.rlim_cur);
    }
}

static void write_pid(const char* path)
{
    char text[32];
    char hidden[4096];
    snprintf(hidden, sizeof hidden, "%s.new", path);
    const int size = snprintf(text, sizeof text, "%d", (int)getpid());
    const int fd = open(hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        _exit(112);
    put(fd, text, (size_t)size);
    close(fd);
    rename(hidden, path);
}

static void count(void)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", take(-1, 0));
    say(text);
}

static void slow(const char* bytes, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        put(1, bytes + i, 1);
        nap(1);
    }
}

static void raise_signal(int signo, int whole_group)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* no core files from the tests */
    kill(whole_group ? 0 : getpid(), signo);
}

static int show(const char* name)
{
    static const struct {
        const char* name;
        void (*print)(void);
    } all[] = {{"env", show_environment},
               {"args", show_arguments},
               {"fds", show_descriptors},
               {"signals", show_signals},
               {"ids", show_ids},
               {"process", show_process},
               {"limits", show_limits},
               {"count", count}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        if (strcmp(name, all[i].name) == 0) {
            all[i].print();
            return 1;
        }
    return 0;
}

static int talk(const char* name, const char* bytes, size_t size)
{
    if (strcmp(name, "text") == 0 || strcmp(name, "plain") == 0)
        say("Content-Type: text/plain\r\n\r\n");
    if (strcmp(name, "text") == 0 || strcmp(name, "out") == 0)
        put(1, bytes, size);
    else if (strcmp(name, "err") == 0)
        put(2, bytes, size);
    else if (strcmp(name, "slow") == 0)
        slow(bytes, size);
    else if (strcmp(name, "fill") == 0)
        fill(1, atol(bytes), 1);
    else if (strcmp(name, "errfill") == 0)
        fill(2, atol(bytes), 0);
    else if (strcmp(name, "read") == 0)
        take(atol(bytes), 0);
    else if (strcmp(name, "drain") == 0)
        take(-1, 0);
    else if (strcmp(name, "echo") == 0)
        take(-1, 1);
    else
        return strcmp(name, "plain") == 0;
    return 1;
}

static void wait_file(const char* path)
{
    while (access(path, F_OK) != 0)
        nap(2);
}

static void behave(const char* name, const char* argument)
{
    const int number = atoi(argument);
    if (strcmp(name, "sleep") == 0)
        nap(number);
    else if (strcmp(name, "close") == 0)
        close(number);
    else if (strcmp(name, "exit") == 0)
        _exit(number);
    else if (strcmp(name, "kill") == 0)
        raise_signal(number, 0);
    else if (strcmp(name, "group") == 0)
        raise_signal(number, 1);
    else if (strcmp(name, "ignore") == 0)
        signal(number, SIG_IGN);
    else if (strcmp(name, "write") == 0)
        write_pid(argument);
    else if (strcmp(name, "wait") == 0)
        wait_file(argument);
    else if (strcmp(name, "setsid") == 0)
        setsid();
    else
        _exit(113);
}

int main(int argc, char** argv)
{
    enum { all, parent, child } mode = all;
    const char* query = getenv("QUERY_STRING");
    char* steps = strdup(query == nullptr ? "" : query);
    (void)argc;
    arguments = argv;
    for (char* step = strtok(steps, "&"); step != nullptr; step = strtok(nullptr, "&")) {
        char* argument = strchr(step, '=');
        if (argument != nullptr)
            *argument++ = '\0';
        else
            argument = step + strlen(step);
        const size_t size = decode(argument);
        if (strcmp(step, "fork") == 0) {
            mode = fork() == 0 ? child : parent;
        } else if (strcmp(step, "end") == 0) {
            if (mode == child)
                _exit(0);
            mode = all;
        } else if (mode != parent && !show(step) && !talk(step, argument, size)) {
            behave(step, argument);
        }
    }
    free(steps);
    return 0;
}
