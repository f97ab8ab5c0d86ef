// Loads, stores and fences for memory that a device touches too.
//
// Header-only and without any other declaration, so that Swift inlines each access into one instruction of the given
// width, in the client's module too. `volatile` keeps the compiler from merging, dropping, splitting or inventing
// accesses; it does not order them against ordinary memory: the acquire and release forms and the fences do that.

#ifndef CMMIO_H
#define CMMIO_H

#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

#define CMMIO_INLINE static inline __attribute__((always_inline))

#define CMMIO_ACCESSORS(bits)                                                                                          \
  CMMIO_INLINE uint##bits##_t cmmio_load##bits(const void *address) {                                                  \
    return *(const volatile uint##bits##_t *)address;                                                                  \
  }                                                                                                                    \
  CMMIO_INLINE void cmmio_store##bits(void *address, uint##bits##_t value) {                                           \
    *(volatile uint##bits##_t *)address = value;                                                                       \
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

// The three fences a driver needs between ordinary memory and a device: on x86 the first two only restrain the compiler
// for normal memory, while the full one is an `mfence`; on arm64 they are `dmb` of the outer shareable domain, since a
// device is outside the inner one.

/// Earlier loads are done before later loads and stores: after a flag was read, before the data it announces.
CMMIO_INLINE void cmmio_read_barrier(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshld" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/// Earlier stores are done before later stores: after a descriptor was written, before the doorbell.
CMMIO_INLINE void cmmio_write_barrier(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshst" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/// All earlier accesses are done before all later ones.
CMMIO_INLINE void cmmio_full_barrier(void) {
#if defined(__aarch64__)
  __asm__ volatile("dmb osh" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/// Tells the compiler that the way to this call is hardly ever taken. It does nothing, and costs its call.
///
/// In a loop of register accesses the compiler then keeps what they need in registers, and saves those around this way
/// instead of around each access. Swift's `_slowPath` does not tell as much: it is lost when the loop is optimised.
static __attribute__((cold, noinline, unused)) void cmmio_cold_path(void) { __asm__ volatile(""); }

#undef CMMIO_INLINE

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
