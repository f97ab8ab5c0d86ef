#include "CBaselineDrivers.h"

#include <stdlib.h>
#include <sys/mman.h>

#define NOINLINE __attribute__((noinline))
#define VOLATILE(type, base, offset) (*(volatile type *)((uint8_t *)(base) + (offset)))

// ---- The controller ----

NOINLINE void bench_controller_play(struct bench_controller *controller) {
    uint32_t tail = *(const volatile uint32_t *)controller->doorbell;
    while (controller->head != tail) {
        const uint8_t *entry = controller->submissions + 64 * controller->head;
        uint32_t first = *(const volatile uint32_t *)entry;
        if (++controller->head == controller->submissionCount) controller->head = 0;
        uint8_t *completion = controller->completions + 16 * controller->tail;
        VOLATILE(uint64_t, completion, 0) = 0;
        VOLATILE(uint32_t, completion, 8) = controller->head | 1 << 16;
        __atomic_store_n(&VOLATILE(uint32_t, completion, 12), first >> 16 | controller->phase << 16, __ATOMIC_RELEASE);
        if (++controller->tail == controller->completionCount) {
            controller->tail = 0;
            controller->phase ^= 1;
        }
    }
}

// ---- The driver ----

struct baseline_queue {
    struct bench_controller controller;
    uint8_t *submissions, *completions, *registers, *lists;
    uint64_t *inFlight;
    uint16_t *free;
    uint64_t submitted, random;
    uint32_t depth, freeCount, slotBits;
    uint32_t submissionCount, completionCount, tail, rung, head, phase, unacknowledged, acknowledgementLimit;
    // What the controller and the disk have told.
    uint32_t pageShift, blockShift, listShift, maximumTransfer, namespace;
    size_t submissionDoorbell, completionDoorbell;
};

// As the library gets memory that a device reaches: in pages of its own, huge ones where the kernel gives them.
static void *zeros(size_t byteCount) {
    void *memory = mmap(NULL, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    // Written to at once, as the library does; what is only read first stays the kernel's shared page of zeros.
    for (size_t offset = 0; offset < byteCount; offset += 4096) ((volatile uint8_t *)memory)[offset] = 0;
    return memory;
}

struct baseline_queue *baseline_make_queue(uint32_t depth) {
    struct baseline_queue *queue = calloc(1, sizeof *queue);
    if (!queue) abort();
    queue->depth = queue->freeCount = depth;
    queue->submissionCount = depth + 1;
    queue->completionCount = 2 * (depth + 1);
    queue->acknowledgementLimit = queue->completionCount / 2;
    queue->submissions = zeros(64 * (size_t)queue->submissionCount);
    queue->completions = zeros(16 * (size_t)queue->completionCount);
    queue->registers = zeros(8192);
    queue->lists = zeros(256 * (size_t)depth);
    // Of the driver alone, so not in pages of their own, where places of the same number would hinder one another in the cache.
    queue->inFlight = calloc(depth, sizeof *queue->inFlight);
    queue->free = calloc(depth, sizeof *queue->free);
    if (!queue->inFlight || !queue->free) abort();
    for (uint32_t slot = 0; slot < depth; slot++) queue->free[slot] = (uint16_t)(depth - 1 - slot);
    while (1u << queue->slotBits < depth) queue->slotBits++;
    queue->phase = 1 << 16;
    queue->pageShift = 12;
    queue->blockShift = 9;
    queue->listShift = 8;
    queue->maximumTransfer = 128 << 10;
    queue->namespace = 1;
    queue->submissionDoorbell = 0x1008;
    queue->completionDoorbell = 0x100c;
    queue->random = 0x9e3779b97f4a7c15;
    queue->controller = (struct bench_controller){
        .submissions = queue->submissions, .completions = queue->completions, .doorbell = queue->registers + 0x1008,
        .submissionCount = queue->submissionCount, .completionCount = queue->completionCount, .phase = 1};
    return queue;
}

// A completion that comes twice must not be taken for that of the next command: so part of the number is in the identifier.
static inline uint16_t identifier(const struct baseline_queue *queue, uint16_t slot) {
    return (uint16_t)(slot | queue->inFlight[slot] << queue->slotBits);
}

static inline int submit(struct baseline_queue *queue, uint64_t block, uint32_t blocks, uint64_t address) {
    uint64_t byteCount = (uint64_t)blocks << queue->blockShift, page = 1ull << queue->pageShift;
    if (!blocks || blocks > 65536 || byteCount > queue->maximumTransfer || address & 3) abort();
    if (!queue->freeCount) return 0;
    uint16_t slot = queue->free[--queue->freeCount];
    queue->inFlight[slot] = ++queue->submitted;
    uint64_t inFirstPage = page - (address & (page - 1)), second = 0;
    if (byteCount > inFirstPage) {
        second = address + inFirstPage;
        if (byteCount - inFirstPage > page) {
            uint8_t *list = queue->lists + ((size_t)slot << queue->listShift);
            for (uint64_t next = second, end = address + byteCount; next < end; next += page, list += 8)
                VOLATILE(uint64_t, list, 0) = next;
            second = (uintptr_t)(queue->lists + ((size_t)slot << queue->listShift));
        }
    }
    uint8_t *entry = queue->submissions + 64 * (size_t)queue->tail;
    VOLATILE(uint64_t, entry, 56) = 0;
    VOLATILE(uint64_t, entry, 48) = blocks - 1;
    VOLATILE(uint64_t, entry, 40) = block;
    VOLATILE(uint64_t, entry, 32) = second;
    VOLATILE(uint64_t, entry, 24) = address;
    VOLATILE(uint64_t, entry, 16) = 0;
    VOLATILE(uint64_t, entry, 8) = 0;
    VOLATILE(uint64_t, entry, 0) = (uint64_t)queue->namespace << 32 | (uint64_t)identifier(queue, slot) << 16 | 2;
    if (++queue->tail == queue->submissionCount) queue->tail = 0;
    return 1;
}

static inline void ring(struct baseline_queue *queue) {
    if (queue->rung == queue->tail) return;
    queue->rung = queue->tail;
    __atomic_store_n(&VOLATILE(uint32_t, queue->registers, queue->submissionDoorbell), queue->tail, __ATOMIC_RELEASE);
}

// Gives the status of the next command that has completed; -1 when there is none.
static inline int complete(struct baseline_queue *queue) {
    for (;;) {
        uint8_t *entry = queue->completions + 16 * (size_t)queue->head;
        uint32_t word = __atomic_load_n(&VOLATILE(uint32_t, entry, 12), __ATOMIC_ACQUIRE);
        if ((word & 1 << 16) != queue->phase) return -1;
        (void)VOLATILE(uint32_t, entry, 0);
        if (++queue->head == queue->completionCount) {
            queue->head = 0;
            queue->phase ^= 1 << 16;
        }
        if (++queue->unacknowledged >= queue->acknowledgementLimit) {
            queue->unacknowledged = 0;
            VOLATILE(uint32_t, queue->registers, queue->completionDoorbell) = queue->head;
        }
        uint16_t slot = (uint16_t)(word & ((1u << queue->slotBits) - 1));
        if (slot >= queue->depth || !queue->inFlight[slot] || identifier(queue, slot) != (uint16_t)word) continue;
        queue->inFlight[slot] = 0;
        queue->free[queue->freeCount++] = slot;
        return (int)(word >> 17);
    }
}

NOINLINE int64_t baseline_nvme_loop(struct baseline_queue *queue, int64_t count) {
    int64_t succeeded = 0, submitted = 0;
    while (submitted < count) {
        uint64_t random = queue->random;
        while (submitted < count && submit(queue, random & 0xffff, 1, 0x100000)) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            submitted++;
        }
        queue->random = random;
        ring(queue);
        bench_controller_play(&queue->controller);
        for (int status; (status = complete(queue)) >= 0;) succeeded += status == 0;
    }
    return succeeded;
}
