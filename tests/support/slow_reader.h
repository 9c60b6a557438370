/* support/slow_reader.h - a peer that does not read, for sends whose buffer the kernel goes on reading.
 */
#ifndef KULA_TESTS_SLOW_READER_H
#define KULA_TESTS_SLOW_READER_H

#include "outcome.h"

/* Goes into the sending side at once, and does not fit into the receiving one. */
#define MESSAGE_BYTES 262144u

/* Whether this ring sends without a copy at all. */
bool sends_in_place(struct kula_ring *ring);

/* A TCP connection whose second end takes a part of a message and then nothing, until it is read. */
void make_slow_pair(int ret_fds[2]);

/* The message is a pattern: writes it, and reads so many bytes of it. */
void fill_message(unsigned char *bytes, size_t count);
void expect_message(int fd, size_t from, size_t count);

/* Hands a message over with MSG_ZEROCOPY. */
kula_op send_message(struct kula_ring *ring, int fd, struct outcome *done);

/* What a test can see of a send that has gone out and that the peer has not read: where the bytes were
 * copied nobody reads the buffer, and its event comes; else it does not. */
void assert_out(struct kula_ring *ring, const struct outcome *done);

#endif
