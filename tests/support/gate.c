#include "gate.h"

int32_t gate_pass(void *arg)
{
    struct gate *gate = arg;
    pthread_mutex_lock(&gate->lock);
    gate->entered++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    gate->left++;
    int32_t result = gate->result;
    pthread_mutex_unlock(&gate->lock);
    return result;
}

void gate_await_entered(struct gate *gate, unsigned count)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->entered < count) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

unsigned gate_left(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    unsigned left = gate->left;
    pthread_mutex_unlock(&gate->lock);
    return left;
}
