// VFIO and iommufd as a careful C program uses them, for the rows of the lab.

#ifndef CBASELINE_LAB_H
#define CBASELINE_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

/// An address space: an iommufd and an IO address space of it, or a container with a type1v2 IOMMU.
struct baseline_space {
    bool is_iommufd;
    int descriptor;
    uint32_t ioas;
};

/// An open device, with one of its BARs mapped.
struct baseline_device {
    int descriptor;
    int group;
    void *_Nullable registers;
    uint64_t byteCount;
};

// All give 0, or -1 after a word on standard error.

int baseline_open_space(bool is_iommufd, struct baseline_space *space);
void baseline_close_space(struct baseline_space *space);

/// Opens a device such as "0000:00:02.0" into the space, with what a driver asks first (VFIO_DEVICE_GET_INFO), and maps a BAR.
int baseline_open_device(struct baseline_space *space, const char *address, uint32_t bar, struct baseline_device *device);
void baseline_close_device(struct baseline_device *device);

/// Maps memory and unmaps it, `count` times.
int baseline_map_unmap(struct baseline_space *space, void *memory, uint64_t byteCount, uint64_t iova, int64_t count);

/// Memory that has been written to, in huge pages where the kernel gives some.
void *_Nullable baseline_memory(uint64_t byteCount);

/// Reads an eventfd that does not block until there is a count.
uint64_t baseline_spin_event(int descriptor);

/// Whether reading the eventfd blocks.
void baseline_set_blocking(int descriptor, bool blocks);

/// Reads an eventfd that blocks.
uint64_t baseline_read_event(int descriptor);

/// A thread that raises an interrupt of QEMU's edu, some time after it was asked to, and notes when.
int baseline_start_raiser(void *registers);
/// Asks for an interrupt.
void baseline_ask_raiser(void);
/// When the last one was raised, in nanoseconds of bench_now.
uint64_t baseline_raised(void);

/// Opens an address space and devices in it, each in a thread of its own when there are several, and reads the first register
/// of each. Closes them afterwards.
///
/// Names take 16 bytes each. Gives the nanoseconds until all were open, or 0.
uint64_t baseline_open_all(bool is_iommufd, int count, const uint8_t *names, const uint32_t *bars);

/// Calls a function with 0, 1, … each in a thread of its own, and waits for them all.
int bench_parallel(int count, void (*body)(void *_Nullable context, int index), void *_Nullable context);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
