// What the benchmarks are compared with: the same work in C, compiled by the same clang with the same -O2.
//
// Each loop is a function that is not inlined, as the Swift loops are.

#ifndef CBASELINE_H
#define CBASELINE_H

#include <stdint.h>
#include <stddef.h>

#include "CBaselineDrivers.h"
#include "CBaselineLab.h"

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

// ---- The harness ----

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t bench_now(void);

/// Has standard output written line by line, also where it is no terminal.
void bench_print_lines(void);

/// Marks the end of a measured stretch for callgrind, which is told to write its counts down before this function.
void bench_mark(void);

/// Keeps the compiler from knowing a value, and from dropping what it was made of.
static inline __attribute__((always_inline)) uint64_t bench_opaque(uint64_t value) {
    __asm__ volatile("" : "+r"(value));
    return value;
}

// ---- Registers ----

/// One 32-bit write and one 32-bit read.
uint32_t baseline_register_access(void *registers, uint32_t value);

/// One 32-bit write.
void baseline_register_write(void *registers, uint32_t value);

/// A write and a read, `count` times.
uint64_t baseline_register_loop(void *registers, int64_t count);

/// A descriptor of 16 bytes into a ring, then the doorbell.
void baseline_ring_access(void *ring, void *registers, uint32_t index);

/// The same `count` times.
void baseline_ring_loop(void *ring, void *registers, int64_t count);

// ---- System calls ----

/// How many bytes a pipe holds, asked `count` times with an ioctl.
int64_t baseline_ioctl_loop(int descriptor, int64_t count);

/// The request of that ioctl.
uint64_t baseline_ioctl_request(void);

/// Reads an eventfd after a write to it, `count` times.
int64_t baseline_event_loop(int descriptor, int64_t count);

/// Fills a map request and an unmap request of an iommufd, each with an ioctl that a pipe answers, `count` times.
int64_t baseline_map_loop(int descriptor, void *memory, uint64_t byteCount, int64_t count);

// ---- Addresses ----

/// An allocator of addresses on a red-black tree, under the same load as the library's.
struct baseline_allocator;

/// With as many ranges taken, and holes between them.
struct baseline_allocator *baseline_make_allocator(int64_t count);

/// Gives a random range back and takes another one of random length, `count` times. Gives a sum of the addresses.
uint64_t baseline_exchange(struct baseline_allocator *allocator, int64_t count);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
