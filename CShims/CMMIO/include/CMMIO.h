// Loads, stores and fences for memory that is shared with a device.
//
// Header-only and without other declarations, so that Swift inlines each access as one instruction of the given width,
// also in the client's module. `volatile` prevents the compiler from merging, dropping, splitting or adding accesses.
// They are atomic as well, so that two threads that use the same memory are no data race by the language. Neither orders
// them relative to ordinary memory; the acquire and release forms and the fences do.

#ifndef CMMIO_H
#define CMMIO_H

#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

#define CMMIO_INLINE static inline __attribute__((always_inline))

#define CMMIO_ACCESSORS(bits)                                                                                          \
  CMMIO_INLINE uint##bits##_t cmmio_load##bits(const void *address) {                                                  \
    return __atomic_load_n((const volatile uint##bits##_t *)address, __ATOMIC_RELAXED);                                \
  }                                                                                                                    \
  CMMIO_INLINE void cmmio_store##bits(void *address, uint##bits##_t value) {                                           \
    __atomic_store_n((volatile uint##bits##_t *)address, value, __ATOMIC_RELAXED);                                     \
  }                                                                                                                    \
  CMMIO_INLINE uint##bits##_t cmmio_load_acquire##bits(const void *address) {                                          \
    return __atomic_load_n((const volatile uint##bits##_t *)address, __ATOMIC_ACQUIRE);                                \
  }                                                                                                                    \
  CMMIO_INLINE void cmmio_store_release##bits(void *address, uint##bits##_t value) {                                   \
    __atomic_store_n((volatile uint##bits##_t *)address, value, __ATOMIC_RELEASE);                                     \
  }

CMMIO_ACCESSORS(8)
CMMIO_ACCESSORS(16)
CMMIO_ACCESSORS(32)
CMMIO_ACCESSORS(64)

#undef CMMIO_ACCESSORS

// The three fences between ordinary memory and a device. On x86 the first two are compiler barriers only, and the full
// one is an `mfence`. On arm64 they are `dmb` instructions for the outer shareable domain, because a device is outside
// the inner one.

/// Orders earlier loads before later loads and stores: between a flag and the data that it announces.
CMMIO_INLINE void cmmio_read_barrier(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshld" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/// Orders earlier stores before later stores: between a descriptor and the doorbell.
CMMIO_INLINE void cmmio_write_barrier(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshst" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/// Orders all earlier accesses before all later ones.
CMMIO_INLINE void cmmio_full_barrier(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb osh" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/// Marks the path to this call as unlikely for the compiler. It does nothing else, and costs a call.
///
/// In a loop of register accesses the compiler then keeps values in CPU registers, and spills them only on this path
/// instead of around each access. Swift's `_slowPath` has not the same effect: it is lost when the loop is optimised.
static __attribute__((cold, noinline, unused)) void cmmio_cold_path(void) { __asm__ volatile(""); }

#undef CMMIO_INLINE

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
