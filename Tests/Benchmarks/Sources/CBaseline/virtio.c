#include "CBaselineDrivers.h"

#include <stdlib.h>
#include <sys/mman.h>

#define NOINLINE __attribute__((noinline))
#define VOLATILE(type, base, offset) (*(volatile type *)((uint8_t *)(base) + (offset)))

enum { SIZE = 256, BUFFERS = 2048, STRIDE = 2048, FRAME = 64, CAPACITY = STRIDE - FRAME, HEADER = 12, HOP = 42 };
#define NONE UINT32_MAX

// ---- The card ----

NOINLINE uint32_t bench_card_use(struct bench_card_queue *queue, uint32_t count, uint32_t length) {
    uint32_t used = 0;
    uint16_t end = *(const volatile uint16_t *)(queue->available + 2);
    while (used < count && queue->next != end) {
        uint16_t slot = queue->next & queue->mask;
        VOLATILE(uint32_t, queue->used, 4 + slot * 8) = *(const volatile uint16_t *)(queue->available + 4 + slot * 2);
        VOLATILE(uint32_t, queue->used, 8 + slot * 8) = length;
        queue->next++;
        used++;
    }
    __atomic_store_n(&VOLATILE(uint16_t, queue->used, 2), queue->next, __ATOMIC_RELEASE);
    return used;
}

// ---- The driver ----

struct queue {
    uint8_t *descriptors, *available, *used;
    uint32_t *buffers, *free;
    // The device says how long the queue is: a power of two.
    uint32_t mask, freeCount;
    // Wider than they are in the rings: clang loads two neighbours of 16 bits at once, right after one of them was stored, and
    // the processor then waits until the store is in the cache. It took twice the time.
    uint32_t nextAvailable, nextUsed;
    uint16_t index;
    struct bench_card_queue card;
};

struct port {
    struct queue receiver, transmitter;
    uint8_t *doorbells;
};

struct packet { uint32_t buffer, length; };

struct baseline_forwarder {
    struct port ports[2];
    uint8_t *memory;
    uint32_t free[BUFFERS];
    uint32_t freeCount, batch;
    struct packet packets[256];
};

// As the library gets memory that a device reaches: in pages of its own, huge ones where the kernel gives them.
static void *zeros(size_t byteCount) {
    void *memory = mmap(NULL, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    // Written to at once, as the library does; what is only read first stays the kernel's shared page of zeros.
    for (size_t offset = 0; offset < byteCount; offset += 4096) ((volatile uint8_t *)memory)[offset] = 0;
    return memory;
}

static void make_queue(struct queue *queue, uint16_t index) {
    size_t available = SIZE * 16, used = (available + 6 + SIZE * 2 + 63) & ~(size_t)63;
    queue->descriptors = zeros(used + 6 + SIZE * 8);
    queue->available = queue->descriptors + available;
    queue->used = queue->descriptors + used;
    queue->index = index;
    queue->mask = SIZE - 1;
    queue->buffers = calloc(SIZE, sizeof *queue->buffers);
    queue->free = calloc(SIZE, sizeof *queue->free);
    if (!queue->buffers || !queue->free) abort();
    for (uint32_t id = 0; id < SIZE; id++) {
        queue->free[id] = SIZE - 1 - id;
        queue->buffers[id] = NONE;
    }
    queue->freeCount = SIZE;
    VOLATILE(uint16_t, queue->available, 0) = 1;
    queue->card = (struct bench_card_queue){.available = queue->available, .used = queue->used, .mask = SIZE - 1};
}

static inline uint64_t header_address(struct baseline_forwarder *pool, uint32_t buffer) {
    return (uintptr_t)pool->memory + (uint64_t)buffer * STRIDE + FRAME - HEADER;
}

static inline uint32_t take(struct baseline_forwarder *pool) {
    return pool->freeCount ? pool->free[--pool->freeCount] : NONE;
}

static inline void put(struct baseline_forwarder *pool, uint32_t buffer) {
    if (pool->freeCount >= BUFFERS) abort();
    pool->free[pool->freeCount++] = buffer;
}

static inline void make_available(struct queue *queue, uint16_t id) {
    VOLATILE(uint16_t, queue->available, 4 + (queue->nextAvailable & queue->mask) * 2) = id;
    queue->nextAvailable++;
}

static inline void notify(struct port *port, struct queue *queue) {
    __atomic_store_n(&VOLATILE(uint16_t, queue->available, 2), (uint16_t)queue->nextAvailable, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(VOLATILE(uint16_t, queue->used, 0) & 1))
        __atomic_store_n(&VOLATILE(uint16_t, port->doorbells, queue->index * 4), queue->index, __ATOMIC_RELEASE);
}

static inline uint32_t pending(struct queue *queue) {
    uint16_t used = __atomic_load_n(&VOLATILE(uint16_t, queue->used, 2), __ATOMIC_ACQUIRE);
    uint32_t count = (uint16_t)(used - queue->nextUsed);
    if (count > queue->mask + 1 - queue->freeCount) abort();
    return count;
}

NOINLINE static void fill(struct baseline_forwarder *pool, struct port *port) {
    struct queue *queue = &port->receiver;
    while (queue->freeCount) {
        uint32_t buffer = take(pool);
        if (buffer == NONE) break;
        uint16_t id = (uint16_t)queue->free[--queue->freeCount];
        queue->buffers[id] = buffer;
        VOLATILE(uint64_t, queue->descriptors, id * 16) = header_address(pool, buffer);
        VOLATILE(uint64_t, queue->descriptors, id * 16 + 8) = (HEADER + CAPACITY) | 2ull << 32;
        make_available(queue, id);
    }
    notify(port, queue);
}

static inline uint32_t receive(struct baseline_forwarder *pool, struct port *port, uint32_t most) {
    struct queue *queue = &port->receiver;
    if (queue->freeCount) fill(pool, port);
    uint32_t count = pending(queue);
    if (count > most) count = most;
    if (!count) return 0;
    for (uint32_t index = 0; index < count; index++) {
        size_t offset = 4 + (size_t)(queue->nextUsed & queue->mask) * 8;
        uint32_t id = VOLATILE(uint32_t, queue->used, offset), length = VOLATILE(uint32_t, queue->used, offset + 4) - HEADER;
        uint32_t buffer = id <= queue->mask ? queue->buffers[id] : NONE;
        if (buffer == NONE || length > CAPACITY) abort();
        pool->packets[index] = (struct packet){buffer, length};
        queue->nextUsed++;
        uint32_t fresh = take(pool);
        queue->buffers[id] = fresh;
        if (fresh != NONE) {
            VOLATILE(uint64_t, queue->descriptors, id * 16) = header_address(pool, fresh);
            make_available(queue, (uint16_t)id);
        } else {
            queue->free[queue->freeCount++] = id;
        }
    }
    notify(port, queue);
    return count;
}

static inline void reclaim(struct baseline_forwarder *pool, struct queue *queue) {
    for (uint32_t count = pending(queue); count; count--) {
        uint32_t id = VOLATILE(uint32_t, queue->used, 4 + (size_t)(queue->nextUsed & queue->mask) * 8);
        uint32_t buffer = id <= queue->mask ? queue->buffers[id] : NONE;
        if (buffer == NONE) abort();
        queue->buffers[id] = NONE;
        queue->free[queue->freeCount++] = id;
        queue->nextUsed++;
        put(pool, buffer);
    }
}

static inline uint32_t transmit(struct baseline_forwarder *pool, struct port *port, uint32_t count) {
    struct queue *queue = &port->transmitter;
    reclaim(pool, queue);
    if (count > queue->freeCount) count = queue->freeCount;
    if (!count) return 0;
    for (uint32_t index = 0; index < count; index++) {
        struct packet packet = pool->packets[index];
        uint8_t *frame = pool->memory + (size_t)packet.buffer * STRIDE + FRAME;
        VOLATILE(uint32_t, frame, -12) = 0;
        VOLATILE(uint64_t, frame, -8) = 0;
        uint16_t id = (uint16_t)queue->free[--queue->freeCount];
        queue->buffers[id] = packet.buffer;
        VOLATILE(uint64_t, queue->descriptors, id * 16) = header_address(pool, packet.buffer);
        VOLATILE(uint64_t, queue->descriptors, id * 16 + 8) = (uint64_t)packet.length + HEADER;
        make_available(queue, id);
    }
    notify(port, queue);
    return count;
}

static inline uint32_t forward(struct baseline_forwarder *pool, struct port *from, struct port *to) {
    uint32_t count = receive(pool, from, pool->batch);
    if (!count) {
        reclaim(pool, &to->transmitter);
        return 0;
    }
    for (uint32_t index = 0; index < count; index++) {
        if (pool->packets[index].length <= HOP) continue;
        uint8_t *frame = pool->memory + (size_t)pool->packets[index].buffer * STRIDE + FRAME;
        VOLATILE(uint8_t, frame, HOP) = VOLATILE(uint8_t, frame, HOP) + 1;
    }
    uint32_t sent = transmit(pool, to, count);
    for (uint32_t index = sent; index < count; index++) put(pool, pool->packets[index].buffer);
    return sent;
}

struct baseline_forwarder *baseline_make_forwarder(uint32_t batch) {
    struct baseline_forwarder *forwarder = zeros(sizeof *forwarder);
    forwarder->memory = zeros((size_t)BUFFERS * STRIDE);
    for (uint32_t index = 0; index < BUFFERS; index++) forwarder->free[index] = BUFFERS - 1 - index;
    forwarder->freeCount = BUFFERS;
    forwarder->batch = batch;
    for (int index = 0; index < 2; index++) {
        make_queue(&forwarder->ports[index].receiver, 0);
        make_queue(&forwarder->ports[index].transmitter, 1);
        forwarder->ports[index].doorbells = zeros(4096);
        fill(forwarder, &forwarder->ports[index]);
    }
    return forwarder;
}

NOINLINE int64_t baseline_forward_loop(struct baseline_forwarder *forwarder, int64_t count) {
    int64_t forwarded = 0;
    while (forwarded < count) {
        for (int index = 0; index < 2; index++) {
            bench_card_use(&forwarder->ports[index].transmitter.card, SIZE, 0);
            bench_card_use(&forwarder->ports[index].receiver.card, forwarder->batch, HEADER + 60);
        }
        forwarded += forward(forwarder, &forwarder->ports[0], &forwarder->ports[1]);
        forwarded += forward(forwarder, &forwarder->ports[1], &forwarder->ports[0]);
    }
    return forwarded;
}
