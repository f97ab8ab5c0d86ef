#include "CBaseline.h"

#define NOINLINE __attribute__((noinline))

static inline volatile uint32_t *register32(void *registers, size_t offset) {
    return (volatile uint32_t *)((char *)registers + offset);
}

static inline volatile uint64_t *register64(void *registers, size_t offset) {
    return (volatile uint64_t *)((char *)registers + offset);
}

NOINLINE uint32_t baseline_register_access(void *registers, uint32_t value) {
    *register32(registers, 0x10) = value;
    return *register32(registers, 0x14);
}

NOINLINE void baseline_register_write(void *registers, uint32_t value) { *register32(registers, 0x10) = value; }

NOINLINE uint64_t baseline_register_loop(void *registers, int64_t count) {
    uint64_t sum = 0;
    for (int64_t index = 0; index < count; index++) {
        *register32(registers, 0x10) = (uint32_t)index;
        sum += *register32(registers, 0x14);
    }
    return sum;
}

static inline void post(void *ring, void *registers, uint32_t index) {
    size_t slot = (size_t)(index & 255) * 16;
    *register64(ring, slot) = index;
    *register64(ring, slot + 8) = 64;
    __atomic_store_n(register32(registers, 0x20), index, __ATOMIC_RELEASE);
}

NOINLINE void baseline_ring_access(void *ring, void *registers, uint32_t index) { post(ring, registers, index); }

NOINLINE void baseline_ring_loop(void *ring, void *registers, int64_t count) {
    for (int64_t index = 0; index < count; index++) post(ring, registers, (uint32_t)index);
}
