#include "CBaseline.h"
#include "CBaselineLab.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

uint64_t baseline_spin_event(int descriptor) {
    uint64_t count = 0;
    while (read(descriptor, &count, sizeof count) != sizeof count)
        if (errno != EAGAIN && errno != EINTR) abort();
    return count;
}

void baseline_set_blocking(int descriptor, bool blocks) {
    int flags = fcntl(descriptor, F_GETFL);
    fcntl(descriptor, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

uint64_t baseline_read_event(int descriptor) {
    uint64_t count = 0;
    while (read(descriptor, &count, sizeof count) != sizeof count)
        if (errno != EINTR) abort();
    return count;
}

static sem_t asked;
static _Atomic uint64_t raised;

static void *raise_interrupts(void *registers) {
    for (;;) {
        while (sem_wait(&asked)) {}
        // Until whoever waits is certainly asleep.
        usleep(400);
        atomic_store(&raised, bench_now());
        *(volatile uint32_t *)((char *)registers + 0x60) = 1;
    }
    return NULL;
}

int baseline_start_raiser(void *registers) {
    pthread_t thread;
    sem_init(&asked, 0, 0);
    return pthread_create(&thread, NULL, raise_interrupts, registers);
}

void baseline_ask_raiser(void) { sem_post(&asked); }

uint64_t baseline_raised(void) { return atomic_load(&raised); }
