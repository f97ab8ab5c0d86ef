// <linux/kvm.h>: only what a virtual machine monitor needs to pass VFIO devices to a guest.

#ifndef CVFIO_KVM_H
#define CVFIO_KVM_H

#include <stdint.h>
#include <linux/ioctl.h>

/// CKVM_CREATE_DEVICE, on the machine's descriptor: fd is set to the new device's descriptor.
struct ckvm_create_device {
    uint32_t type;
    uint32_t fd;
    uint32_t flags;
};

static const uint32_t CKVM_CREATE_DEVICE_TEST = 1;  // only checks whether the type is supported
static const uint32_t CKVM_DEV_TYPE_VFIO = 4;

/// CKVM_SET_DEVICE_ATTR, GET and HAS, on a device's descriptor: addr is the address of the attribute's value.
struct ckvm_device_attr {
    uint32_t flags;  // 0
    uint32_t group;
    uint64_t attr;
    uint64_t addr;
};

// The kvm-vfio device: its only group, and the attributes. Their value is an int32_t: the descriptor of a VFIO group,
// or (since 6.6) of a device's own node. Headers before 6.6 have GROUP instead of FILE.
static const uint32_t CKVM_DEV_VFIO_FILE = 1;
static const uint64_t CKVM_DEV_VFIO_FILE_ADD = 1;
static const uint64_t CKVM_DEV_VFIO_FILE_DEL = 2;

/// CKVM_IRQFD, on the machine's descriptor: interrupt line gsi is raised each time the eventfd fd is signalled.
struct ckvm_irqfd {
    uint32_t fd;
    uint32_t gsi;
    uint32_t flags;
    uint32_t resamplefd;
    uint8_t pad[16];
};

static const uint32_t CKVM_IRQFD_FLAG_DEASSIGN = 1u << 0;
static const uint32_t CKVM_IRQFD_FLAG_RESAMPLE = 1u << 1;  // level triggered; resamplefd: the guest's EOI

/// CKVM_IOEVENTFD, on the machine's descriptor: the eventfd fd is signalled each time the guest writes at addr.
struct ckvm_ioeventfd {
    uint64_t datamatch;
    uint64_t addr;
    uint32_t len;  // 1, 2, 4, 8, or 0 for any
    int32_t fd;
    uint32_t flags;
    uint8_t pad[36];
};

static const uint32_t CKVM_IOEVENTFD_FLAG_DATAMATCH = 1u << 0;  // only if the value is datamatch
static const uint32_t CKVM_IOEVENTFD_FLAG_PIO = 1u << 1;        // addr is an I/O port
static const uint32_t CKVM_IOEVENTFD_FLAG_DEASSIGN = 1u << 2;

/// CKVM_SET_USER_MEMORY_REGION, on the machine's descriptor. Sizes in bytes; a size of 0 removes the slot.
struct ckvm_userspace_memory_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
};

static const uint32_t CKVM_MEM_LOG_DIRTY_PAGES = 1u << 0;
static const uint32_t CKVM_MEM_READONLY = 1u << 1;

// On /dev/kvm. The library does not make these requests; the virtual machine monitor does.
static const unsigned long CKVM_GET_API_VERSION = _IO(0xAE, 0x00);
static const unsigned long CKVM_CREATE_VM = _IO(0xAE, 0x01);  // returns the machine's descriptor

// On the machine's descriptor.
static const unsigned long CKVM_CREATE_IRQCHIP = _IO(0xAE, 0x60);
static const unsigned long CKVM_SET_USER_MEMORY_REGION = _IOW(0xAE, 0x46, struct ckvm_userspace_memory_region);
static const unsigned long CKVM_IRQFD = _IOW(0xAE, 0x76, struct ckvm_irqfd);
static const unsigned long CKVM_IOEVENTFD = _IOW(0xAE, 0x79, struct ckvm_ioeventfd);
static const unsigned long CKVM_CREATE_DEVICE = _IOWR(0xAE, 0xe0, struct ckvm_create_device);
static const unsigned long CKVM_SET_DEVICE_ATTR = _IOW(0xAE, 0xe1, struct ckvm_device_attr);
static const unsigned long CKVM_GET_DEVICE_ATTR = _IOW(0xAE, 0xe2, struct ckvm_device_attr);
static const unsigned long CKVM_HAS_DEVICE_ATTR = _IOW(0xAE, 0xe3, struct ckvm_device_attr);

#endif
