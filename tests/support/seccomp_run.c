/* seccomp_run: runs a program in a poorer environment, to test what happens where system calls are
 * refused and limits are low. No privilege is needed, except for -u.
 *
 *     seccomp_run [OPTION...] [--] PROGRAM [ARGUMENT...]
 *
 *     -d CALL[,CALL...]=ERRNO  these system calls fail with ERRNO
 *     -r OPCODE=ERRNO          io_uring_register fails for this opcode (a number) only
 *     -l KIB                   RLIMIT_MEMLOCK in KiB
 *     -n COUNT                 RLIMIT_NOFILE
 *     -p COUNT                 RLIMIT_NPROC
 *     -u ID                    run as this user and group, with no supplementary group
 *
 * CALL is a name of the table below, "io_uring" for its three, or a number. ERRNO is a name of the
 * table below, or a number. The filter and the limits hold for all children, too.
 * Exit status: the program's own; 125 when the environment could not be made; 126 and 127 when the
 * program could not be run, as in a shell.
 *
 * The filter compares the number of a call only, so PROGRAM has to be of the ABI that this program
 * was built for: on another ABI the same numbers mean other calls.
 */
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EXIT_ENVIRONMENT = 125,
    EXIT_NOT_RUNNABLE = 126,
    EXIT_NOT_FOUND = 127,
    INSTRUCTIONS_MAX = 256,
    ERRNO_MAX = 4095, /* the kernel cuts what a filter returns to it (MAX_ERRNO) */
};

struct named {
    const char *name;
    long number;
};

static const struct named calls[] = {
    { "io_uring_setup", __NR_io_uring_setup },
    { "io_uring_enter", __NR_io_uring_enter },
    { "io_uring_register", __NR_io_uring_register },
    { "clone3", __NR_clone3 },
    { "epoll_create1", __NR_epoll_create1 },
    { "eventfd2", __NR_eventfd2 },
    { "mmap", __NR_mmap },
    { "preadv2", __NR_preadv2 },
    { "pwritev2", __NR_pwritev2 },
    { "statx", __NR_statx },
    { NULL, 0 },
};

static const struct named errors[] = {
    { "EACCES", EACCES }, { "EAGAIN", EAGAIN },         { "EINVAL", EINVAL },
    { "EMFILE", EMFILE }, { "ENFILE", ENFILE },         { "ENOMEM", ENOMEM },
    { "ENOSYS", ENOSYS }, { "EOPNOTSUPP", EOPNOTSUPP }, { "EPERM", EPERM },
    { NULL, 0 },
};

struct filter {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short count;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "seccomp_run: %s: %s\n", what, why);
    exit(EXIT_ENVIRONMENT);
}

static long parse_number(const char *text, long max)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 0 || number > max) {
        fail(text, "not a number in range, nor a known name");
    }
    return number;
}

static long parse_named(const struct named *table, const char *text, long max)
{
    for (const struct named *entry = table; entry->name; entry++) {
        if (strcmp(entry->name, text) == 0) {
            return entry->number;
        }
    }
    return parse_number(text, max);
}

static void add(struct filter *filter, struct sock_filter instruction)
{
    if (filter->count == INSTRUCTIONS_MAX) {
        fail("filter", "too long");
    }
    filter->code[filter->count++] = instruction;
}

/* Loads one 32-bit word of struct seccomp_data. */
static void add_load(struct filter *filter, size_t offset)
{
    add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* If the loaded word equals `value`, the call fails with `error`. */
static void add_refusal(struct filter *filter, long value, long error)
{
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)value, 0, 1));
    add(filter,
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error));
}

/* Cuts "LEFT=ERRNO" in two, and gives the errno. */
static long split(char *argument)
{
    char *equals = strrchr(argument, '=');
    if (!equals) {
        fail(argument, "=ERRNO is missing");
        return 0;
    }
    *equals = '\0';
    return parse_named(errors, equals + 1, ERRNO_MAX);
}

static void refuse_calls(struct filter *filter, char *argument)
{
    long error = split(argument);
    char *rest;
    for (char *name = strtok_r(argument, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (strcmp(name, "io_uring") == 0) {
            add_refusal(filter, __NR_io_uring_setup, error);
            add_refusal(filter, __NR_io_uring_enter, error);
            add_refusal(filter, __NR_io_uring_register, error);
        } else {
            add_refusal(filter, parse_named(calls, name, INT32_MAX), error);
        }
    }
}

static void refuse_register(struct filter *filter, char *argument)
{
    /* The opcode is an unsigned int: the low half of a 64-bit word. */
    size_t low_half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(uint32_t) : 0;
    long error = split(argument);
    long opcode = parse_number(argument, INT32_MAX);
    add(filter,
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_register, 0, 4));
    add_load(filter, offsetof(struct seccomp_data, args[1]) + low_half);
    add_refusal(filter, opcode, error);
    add_load(filter, offsetof(struct seccomp_data, nr));
}

static void must(int result, const char *what)
{
    if (result < 0) {
        fail(what, strerror(errno));
    }
}

static struct rlimit parse_limit(const char *argument, rlim_t unit)
{
    rlim_t value = (rlim_t)parse_number(argument, INT32_MAX) * unit;
    return (struct rlimit){ value, value };
}

static void become(const char *argument)
{
    unsigned id = (unsigned)parse_number(argument, INT32_MAX);
    must(setgroups(0, NULL), "setgroups");
    must(setresgid(id, id, id), "setresgid");
    must(setresuid(id, id, id), "setresuid");
}

static void install(struct filter *filter)
{
    struct sock_fprog program = { filter->count, filter->code };
    /* Without it a filter needs CAP_SYS_ADMIN. */
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "PR_SET_SECCOMP");
}

int main(int argc, char **argv)
{
    struct filter filter = { .count = 0 };
    const char *user = NULL;
    struct rlimit limit;
    int option;

    add_load(&filter, offsetof(struct seccomp_data, nr));
    while ((option = getopt(argc, argv, "+d:r:l:n:p:u:")) != -1) {
        switch (option) {
        case 'd':
            refuse_calls(&filter, optarg);
            break;
        case 'r':
            refuse_register(&filter, optarg);
            break;
        case 'l':
            limit = parse_limit(optarg, 1024);
            must(setrlimit(RLIMIT_MEMLOCK, &limit), "RLIMIT_MEMLOCK");
            break;
        case 'n':
            limit = parse_limit(optarg, 1);
            must(setrlimit(RLIMIT_NOFILE, &limit), "RLIMIT_NOFILE");
            break;
        case 'p':
            limit = parse_limit(optarg, 1);
            must(setrlimit(RLIMIT_NPROC, &limit), "RLIMIT_NPROC");
            break;
        case 'u':
            user = optarg;
            break;
        default:
            return EXIT_ENVIRONMENT;
        }
    }
    if (optind == argc) {
        fail("usage", "seccomp_run [-d CALLS=ERRNO] [-r OPCODE=ERRNO] [-l KIB] [-n COUNT] "
                      "[-p COUNT] [-u ID] PROGRAM [ARGUMENT...]");
    }
    add(&filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));

    if (user) {
        become(user);
    }
    if (filter.count > 2) { /* more than load and allow */
        install(&filter);
    }
    execvp(argv[optind], argv + optind);
    fprintf(stderr, "seccomp_run: %s: %s\n", argv[optind], strerror(errno));
    return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE;
}
