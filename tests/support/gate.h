/* support/gate.h - a function to offload that runs until the test lets it end. */
#ifndef KULA_TESTS_GATE_H
#define KULA_TESTS_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned entered; /* how many calls have come in */
    unsigned left;    /* and gone out */
    bool open;
    int32_t result;
};

#define GATE_CLOSED(value)                                                      \
    {                                                                           \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, false, value \
    }

/* For kula_offload, with the gate as its argument: returns gate->result once the gate is open. */
int32_t gate_pass(void *arg);

/* Waits until `count` calls are inside. */
void gate_await_entered(struct gate *gate, unsigned count);
void gate_open(struct gate *gate);
unsigned gate_left(struct gate *gate);

#endif
