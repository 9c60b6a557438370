/* support/places.h - things to read from and write to: files, pipes, sockets, ttys. Each helper
 * fails the test when the system refuses; each descriptor is close-on-exec and the test's to close.
 */
#ifndef KULA_TESTS_PLACES_H
#define KULA_TESTS_PLACES_H

#include "harness.h"

#include <stddef.h>
#include <sys/socket.h>

/* A nameless file in the working directory, which is the build's: a real file system. */
int make_file(const char *content);
int make_file_flags(const char *content, int flags);

/* A new empty directory; remove_directory removes it and the plain files in it. */
void make_directory(char *ret_path, size_t size);
void remove_directory(const char *path);

void make_pipe(int ret_fds[2]);

/* A connected pair. domain AF_UNIX: socketpair; AF_INET: over loopback. */
void make_stream_pair(int domain, int ret_fds[2]);
void make_datagram_pair(int ret_fds[2]);

/* A TCP socket that listens on loopback, and the address it got. */
int make_listener(struct sockaddr_storage *ret_address, socklen_t *ret_length, int backlog);
int make_connection(const struct sockaddr_storage *address, socklen_t length);

/* A terminal in raw mode: [0] is the controlling side, [1] the side of programs. */
void make_terminal(int ret_fds[2]);

/* Fills a pipe or socket until it takes nothing more; returns how much went in. */
size_t fill(int fd);

/* Plain calls that must do all of it. */
void put(int fd, const char *text);
void expect_bytes(int fd, const char *text);
void expect_no_bytes(int fd);
void expect_content(int fd, const char *content);

/* Closes descriptors that a ring may have used, as the sixth law wants it: the ring has to have
 * forgotten them first. */
void retire(struct kula_ring *ring, const int *fds, size_t count);

/* Whether a plain read would return at once (data or end). */
bool is_readable(int fd);

#endif
