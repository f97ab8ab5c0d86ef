#include "CBaseline.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

uint64_t baseline_ioctl_request(void) { return FIONREAD; }

// As a careful C program makes any call: again after a signal, and the error seen.
static int64_t request(int descriptor, unsigned long number, void *argument) {
    int result;
    do { result = ioctl(descriptor, number, argument); } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

NOINLINE int64_t baseline_ioctl_loop(int descriptor, int64_t count) {
    int64_t sum = 0;
    for (int64_t index = 0; index < count; index++) {
        int available = 0;
        if (request(descriptor, FIONREAD, &available) < 0) return -1;
        sum += available;
    }
    return sum;
}

NOINLINE int64_t baseline_event_loop(int descriptor, int64_t count) {
    int64_t sum = 0;
    for (int64_t index = 0; index < count; index++) {
        uint64_t value = 1;
        if (write(descriptor, &value, sizeof value) != sizeof value) return -1;
        if (read(descriptor, &value, sizeof value) != sizeof value) return -1;
        sum += (int64_t)value;
    }
    return sum;
}

// The layout of struct iommu_ioas_map and of iommu_ioas_unmap, whose headers a host may lack.
struct map_request {
    uint32_t size, flags, ioas, reserved;
    uint64_t address, length, iova;
};
struct unmap_request {
    uint32_t size, ioas;
    uint64_t iova, length;
};

NOINLINE int64_t baseline_map_loop(int descriptor, void *memory, uint64_t byteCount, int64_t count) {
    int64_t sum = 0;
    for (int64_t index = 0; index < count; index++) {
        struct map_request map = {
            .size = sizeof map, .flags = 7, .ioas = 1, .address = (uintptr_t)memory, .length = byteCount, .iova = 4096};
        if (request(descriptor, FIONREAD, &map) < 0) return -1;
        struct unmap_request unmap = {.size = sizeof unmap, .ioas = 1, .iova = 4096, .length = byteCount};
        if (request(descriptor, FIONREAD, &unmap) < 0) return -1;
        sum += (int64_t)unmap.length;
    }
    return sum;
}
