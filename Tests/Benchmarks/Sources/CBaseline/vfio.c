#include "CBaselineLab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

// iommufd is younger than the headers of many a host: what is used of it, by number and layout.
#define REQUEST_IOAS_ALLOC _IO(';', 0x81)
#define REQUEST_IOAS_MAP _IO(';', 0x85)
#define REQUEST_IOAS_UNMAP _IO(';', 0x86)
#define REQUEST_BIND _IO(';', 118)
#define REQUEST_ATTACH _IO(';', 119)

struct ioas_alloc { uint32_t size, flags, id; };
struct ioas_map { uint32_t size, flags, id, reserved; uint64_t address, length, iova; };
struct ioas_unmap { uint32_t size, id; uint64_t iova, length; };
struct bind_iommufd { uint32_t argsz, flags; int32_t iommufd; uint32_t id; };
struct attach { uint32_t argsz, flags, id; };

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return -1;
}

int baseline_open_space(bool is_iommufd, struct baseline_space *space) {
    space->is_iommufd = is_iommufd;
    space->descriptor = open(is_iommufd ? "/dev/iommu" : "/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    if (space->descriptor < 0) return failed("open the IOMMU");
    if (!is_iommufd) {
        if (ioctl(space->descriptor, VFIO_GET_API_VERSION) != VFIO_API_VERSION) return failed("VFIO_GET_API_VERSION");
        return 0;
    }
    struct ioas_alloc alloc = {.size = sizeof alloc};
    if (ioctl(space->descriptor, REQUEST_IOAS_ALLOC, &alloc)) return failed("IOMMU_IOAS_ALLOC");
    space->ioas = alloc.id;
    return 0;
}

void baseline_close_space(struct baseline_space *space) { close(space->descriptor); }

static int open_node(const char *address) {
    char path[512];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vfio-dev", address);
    DIR *folder = opendir(path);
    if (!folder) return failed(path);
    path[0] = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.') snprintf(path, sizeof path, "/dev/vfio/devices/%s", entry->d_name);
    closedir(folder);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    return descriptor < 0 ? failed(path) : descriptor;
}

static int open_by_iommufd(struct baseline_space *space, const char *address, struct baseline_device *device) {
    device->group = -1;
    device->descriptor = open_node(address);
    if (device->descriptor < 0) return -1;
    struct bind_iommufd bind = {.argsz = sizeof bind, .iommufd = space->descriptor};
    if (ioctl(device->descriptor, REQUEST_BIND, &bind)) return failed("VFIO_DEVICE_BIND_IOMMUFD");
    struct attach attach = {.argsz = sizeof attach, .id = space->ioas};
    if (ioctl(device->descriptor, REQUEST_ATTACH, &attach)) return failed("VFIO_DEVICE_ATTACH_IOMMUFD_PT");
    return 0;
}

static int open_by_group(struct baseline_space *space, const char *address, struct baseline_device *device) {
    char path[512], target[512];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", address);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return failed(path);
    target[length] = 0;
    snprintf(path, sizeof path, "/dev/vfio/%s", strrchr(target, '/') + 1);
    device->group = open(path, O_RDWR | O_CLOEXEC);
    if (device->group < 0) return failed(path);
    struct vfio_group_status status = {.argsz = sizeof status};
    if (ioctl(device->group, VFIO_GROUP_GET_STATUS, &status)) return failed("VFIO_GROUP_GET_STATUS");
    if (ioctl(device->group, VFIO_GROUP_SET_CONTAINER, &space->descriptor)) return failed("VFIO_GROUP_SET_CONTAINER");
    if (ioctl(space->descriptor, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) return failed("VFIO_SET_IOMMU");
    device->descriptor = ioctl(device->group, VFIO_GROUP_GET_DEVICE_FD, address);
    return device->descriptor < 0 ? failed("VFIO_GROUP_GET_DEVICE_FD") : 0;
}

int baseline_open_device(struct baseline_space *space, const char *address, uint32_t bar, struct baseline_device *device) {
    if (space->is_iommufd ? open_by_iommufd(space, address, device) : open_by_group(space, address, device)) return -1;
    struct vfio_device_info info = {.argsz = sizeof info};
    if (ioctl(device->descriptor, VFIO_DEVICE_GET_INFO, &info)) return failed("VFIO_DEVICE_GET_INFO");
    struct vfio_region_info region = {.argsz = sizeof region, .index = bar};
    if (ioctl(device->descriptor, VFIO_DEVICE_GET_REGION_INFO, &region)) return failed("VFIO_DEVICE_GET_REGION_INFO");
    void *registers =
        mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, device->descriptor, (off_t)region.offset);
    if (registers == MAP_FAILED) return failed("mmap of the BAR");
    device->registers = registers;
    device->byteCount = region.size;
    return 0;
}

void baseline_close_device(struct baseline_device *device) {
    munmap(device->registers, device->byteCount);
    close(device->descriptor);
    if (device->group >= 0) close(device->group);
}

static int map_iommufd(struct baseline_space *space, void *memory, uint64_t byteCount, uint64_t iova) {
    // Fixed address, writable, readable.
    struct ioas_map map = {.size = sizeof map, .flags = 7, .id = space->ioas, .address = (uintptr_t)memory,
                           .length = byteCount, .iova = iova};
    if (ioctl(space->descriptor, REQUEST_IOAS_MAP, &map)) return failed("IOMMU_IOAS_MAP");
    struct ioas_unmap unmap = {.size = sizeof unmap, .id = space->ioas, .iova = iova, .length = byteCount};
    if (ioctl(space->descriptor, REQUEST_IOAS_UNMAP, &unmap)) return failed("IOMMU_IOAS_UNMAP");
    return unmap.length == byteCount ? 0 : -1;
}

static int map_type1(struct baseline_space *space, void *memory, uint64_t byteCount, uint64_t iova) {
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof map, .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           .vaddr = (uintptr_t)memory, .iova = iova, .size = byteCount};
    if (ioctl(space->descriptor, VFIO_IOMMU_MAP_DMA, &map)) return failed("VFIO_IOMMU_MAP_DMA");
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = byteCount};
    if (ioctl(space->descriptor, VFIO_IOMMU_UNMAP_DMA, &unmap)) return failed("VFIO_IOMMU_UNMAP_DMA");
    return unmap.size == byteCount ? 0 : -1;
}

int baseline_map_unmap(struct baseline_space *space, void *memory, uint64_t byteCount, uint64_t iova, int64_t count) {
    for (int64_t index = 0; index < count; index++)
        if (space->is_iommufd ? map_iommufd(space, memory, byteCount, iova) : map_type1(space, memory, byteCount, iova))
            return -1;
    return 0;
}

void *baseline_memory(uint64_t byteCount) {
    // Room for an alignment of 1 GiB, so that huge pages of the IOMMU fit too.
    uint64_t alignment = byteCount < (1ull << 30) ? 1ull << 21 : 1ull << 30;
    char *room = mmap(NULL, byteCount + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return NULL;
    char *memory = (char *)(((uintptr_t)room + alignment - 1) & ~(alignment - 1));
    madvise(memory, byteCount, MADV_HUGEPAGE);
    for (uint64_t offset = 0; offset < byteCount; offset += 4096) memory[offset] = 1;
    return memory;
}
