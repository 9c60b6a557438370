#include "places.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void set_cloexec(int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
}

int make_file_flags(const char *content, int flags)
{
    char name[] = "kula-test-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    put(fd, content);
    int again = open(name, O_RDWR | O_CLOEXEC | flags);
    int error = errno;
    unlink(name);
    close(fd);
    errno = error;
    return again;
}

int make_file(const char *content)
{
    int fd = make_file_flags(content, 0);
    assert_true(fd >= 0);
    return fd;
}

void make_directory(char *ret_path, size_t size)
{
    assert_true(snprintf(ret_path, size, "kula-test-dir-XXXXXX") < (int)size);
    assert_non_null(mkdtemp(ret_path));
}

void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            assert_int_equal(unlinkat(dirfd(directory), entry->d_name, 0), 0);
        }
    }
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

void make_pipe(int ret_fds[2])
{
    assert_int_equal(pipe(ret_fds), 0);
    set_cloexec(ret_fds[0]);
    set_cloexec(ret_fds[1]);
}

void make_stream_pair(int domain, int ret_fds[2])
{
    if (domain == AF_UNIX) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ret_fds), 0);
    } else {
        struct sockaddr_storage address;
        socklen_t length;
        int listener = make_listener(&address, &length, 1);
        ret_fds[0] = make_connection(&address, length);
        ret_fds[1] = accept(listener, NULL, NULL);
        close(listener);
    }
    set_cloexec(ret_fds[0]);
    set_cloexec(ret_fds[1]);
}

void make_datagram_pair(int ret_fds[2])
{
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in any = { .sin_family = AF_INET };
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ret_fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        set_cloexec(ret_fds[i]);
        assert_int_equal(bind(ret_fds[i], (struct sockaddr *)&any, sizeof any), 0);
    }
    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        assert_int_equal(getsockname(ret_fds[1 - i], (struct sockaddr *)&address, &length), 0);
        assert_int_equal(connect(ret_fds[i], (struct sockaddr *)&address, length), 0);
    }
}

int make_listener(struct sockaddr_storage *ret_address, socklen_t *ret_length, int backlog)
{
    struct sockaddr_in any = { .sin_family = AF_INET };
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    set_cloexec(fd);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, backlog), 0);
    *ret_length = sizeof *ret_address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, ret_length), 0);
    return fd;
}

int make_connection(const struct sockaddr_storage *address, socklen_t length)
{
    int fd = socket(address->ss_family, SOCK_STREAM, 0);
    set_cloexec(fd);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, length), 0);
    return fd;
}

void make_terminal(int ret_fds[2])
{
    ret_fds[0] = posix_openpt(O_RDWR | O_NOCTTY);
    if (ret_fds[0] < 0) {
        SKIP_WANTING("no pseudo terminal can be had: %s", strerror(errno));
    }
    set_cloexec(ret_fds[0]);
    char name[128];
    if (grantpt(ret_fds[0]) != 0 || unlockpt(ret_fds[0]) != 0 ||
        ptsname_r(ret_fds[0], name, sizeof name) != 0 ||
        (ret_fds[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
        int error = errno;
        close(ret_fds[0]);
        SKIP_WANTING("the terminal's other side cannot be opened: %s", strerror(error));
    }
    struct termios mode;
    assert_int_equal(tcgetattr(ret_fds[1], &mode), 0);
    mode.c_iflag &=
        ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    mode.c_oflag &= ~(tcflag_t)OPOST;
    mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    assert_int_equal(tcsetattr(ret_fds[1], TCSANOW, &mode), 0);
}

size_t fill(int fd)
{
    static const char block[4096];
    int flags = fcntl(fd, F_GETFL);
    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    size_t total = 0;
    for (size_t piece = sizeof block; piece > 0; piece /= 2) {
        for (ssize_t done; (done = write(fd, block, piece)) > 0;) {
            total += (size_t)done;
        }
        assert_int_equal(errno, EAGAIN);
    }
    assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
    return total;
}

void put(int fd, const char *text)
{
    assert_result(write(fd, text, strlen(text)), strlen(text));
}

void expect_bytes(int fd, const char *text)
{
    char found[512];
    size_t wanted = strlen(text);
    size_t have = 0;
    assert_true(wanted < sizeof found);
    while (have < wanted) {
        ssize_t done = read(fd, found + have, wanted - have);
        assert_true(done > 0);
        have += (size_t)done;
    }
    found[have] = '\0';
    assert_string_equal(found, text);
}

bool is_readable(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    return poll(&entry, 1, 0) == 1;
}

void expect_no_bytes(int fd)
{
    assert_false(is_readable(fd));
}

void expect_content(int fd, const char *content)
{
    char found[1024];
    ssize_t length = pread(fd, found, sizeof found - 1, 0);
    assert_true(length >= 0);
    found[length] = '\0';
    assert_string_equal(found, content);
}

void retire(struct kula_ring *ring, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_result(kula_forget_fd(ring, fds[i]), 0);
        assert_int_equal(close(fds[i]), 0);
    }
}
