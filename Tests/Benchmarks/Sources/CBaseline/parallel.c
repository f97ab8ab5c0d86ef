#include "CBaselineLab.h"

#include <pthread.h>

struct call {
    void (*body)(void *context, int index);
    void *context;
    int index;
};

static void *perform(void *argument) {
    struct call *call = argument;
    call->body(call->context, call->index);
    return NULL;
}

int bench_parallel(int count, void (*body)(void *context, int index), void *context) {
    pthread_t threads[count];
    struct call calls[count];
    for (int index = 0; index < count; index++) {
        calls[index] = (struct call){body, context, index};
        if (pthread_create(&threads[index], NULL, perform, &calls[index])) return -1;
    }
    for (int index = 0; index < count; index++) pthread_join(threads[index], NULL);
    return 0;
}
