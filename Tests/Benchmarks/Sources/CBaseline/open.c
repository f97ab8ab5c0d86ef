#include "CBaseline.h"
#include "CBaselineLab.h"

struct opening {
    struct baseline_space space;
    struct baseline_device devices[8];
    const char *names;
    const uint32_t *bars;
    int failures;
    uint64_t sum;
};

static void open_one(void *context, int index) {
    struct opening *opening = context;
    struct baseline_device *device = &opening->devices[index];
    if (baseline_open_device(&opening->space, opening->names + 16 * index, opening->bars[index], device)) {
        __atomic_add_fetch(&opening->failures, 1, __ATOMIC_RELAXED);
        return;
    }
    __atomic_add_fetch(&opening->sum, *(volatile uint32_t *)device->registers, __ATOMIC_RELAXED);
}

uint64_t baseline_open_all(bool is_iommufd, int count, const uint8_t *names, const uint32_t *bars) {
    struct opening opening = {.names = (const char *)names, .bars = bars};
    if (count > 8) return 0;
    uint64_t start = bench_now();
    if (baseline_open_space(is_iommufd, &opening.space)) return 0;
    if (count == 1) open_one(&opening, 0);
    else if (bench_parallel(count, open_one, &opening)) return 0;
    uint64_t taken = bench_now() - start;
    if (opening.failures) return 0;
    for (int index = 0; index < count; index++) baseline_close_device(&opening.devices[index]);
    baseline_close_space(&opening.space);
    return taken;
}
