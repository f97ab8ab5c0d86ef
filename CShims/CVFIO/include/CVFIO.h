// CVFIO: the kernel's VFIO, iommufd, dma-buf and kvm-vfio interfaces, as Swift imports them.
//
// All declarations are this module's own and are the same on every host, independently of its kernel headers.
// abi_assertions.c compares them with <linux/...> at compile time, as far as the host has those headers.
//
// Naming: a structure is `c` + the kernel's name (struct vfio_device_info: struct cvfio_device_info) and its members
// keep the kernel's names; a constant is `C` + the kernel's name (VFIO_DEVICE_GET_INFO: CVFIO_DEVICE_GET_INFO).
//
// Types of the constants: an ioctl request number, or a value that an ioctl takes in place of a pointer, is unsigned
// long; every other constant has the type of the member that it is stored in.
//
// Flexible array members are left out, so that sizeof is the size of the fixed part, after which the array begins.

#ifndef CVFIO_H
#define CVFIO_H

#include "cvfio_vfio.h"
#include "cvfio_type1.h"
#include "cvfio_device.h"
#include "cvfio_feature.h"
#include "cvfio_iommufd.h"
#include "cvfio_dma_buf.h"
#include "cvfio_kvm.h"
#include "cvfio_syscalls.h"

#endif
