// KVM requests of a virtual machine monitor besides those for VFIO: <linux/kvm.h>, with the request numbers, which are
// macros that Swift does not import.

#ifndef CKVM_H
#define CKVM_H

#include <stddef.h>
#include <linux/kvm.h>

// On /dev/kvm.
static const unsigned long KVM_REQUEST_CREATE_VM = KVM_CREATE_VM;
static const unsigned long KVM_REQUEST_GET_VCPU_MMAP_SIZE = KVM_GET_VCPU_MMAP_SIZE;

// On the machine's descriptor.
static const unsigned long KVM_REQUEST_CREATE_IRQCHIP = KVM_CREATE_IRQCHIP;
static const unsigned long KVM_REQUEST_CREATE_VCPU = KVM_CREATE_VCPU;
static const unsigned long KVM_REQUEST_SET_GSI_ROUTING = KVM_SET_GSI_ROUTING;
static const unsigned long KVM_REQUEST_SET_USER_MEMORY_REGION = KVM_SET_USER_MEMORY_REGION;

// On the processor's descriptor.
static const unsigned long KVM_REQUEST_RUN = KVM_RUN;
static const unsigned long KVM_REQUEST_GET_SREGS = KVM_GET_SREGS;
static const unsigned long KVM_REQUEST_SET_SREGS = KVM_SET_SREGS;
static const unsigned long KVM_REQUEST_SET_REGS = KVM_SET_REGS;

/// The offset of an MMIO exit's data in `struct kvm_run`.
static const long KVM_RUN_MMIO_DATA_OFFSET = offsetof(struct kvm_run, mmio.data);

/// `struct kvm_irq_routing` with one entry instead of the flexible array.
struct ckvm_irq_routing_of_one {
    __u32 nr;
    __u32 flags;
    struct kvm_irq_routing_entry entry;
};

#endif
