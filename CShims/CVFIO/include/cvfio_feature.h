// <linux/vfio.h>: device features, which share the request CVFIO_DEVICE_FEATURE, and the migration stream's request.

#ifndef CVFIO_FEATURE_H
#define CVFIO_FEATURE_H

#include "cvfio_vfio.h"

/// CVFIO_DEVICE_FEATURE: flags are a feature's number and operations. Followed by the feature's data, except with
/// PROBE. PROBE may be combined with GET, SET or both; without PROBE exactly one of GET and SET.
struct cvfio_device_feature {
    uint32_t argsz;
    uint32_t flags;
};

static const uint32_t CVFIO_DEVICE_FEATURE_MASK = 0xffff;  // of the feature's number
static const uint32_t CVFIO_DEVICE_FEATURE_GET = 1u << 16;
static const uint32_t CVFIO_DEVICE_FEATURE_SET = 1u << 17;
static const uint32_t CVFIO_DEVICE_FEATURE_PROBE = 1u << 18;

static const unsigned long CVFIO_DEVICE_FEATURE = CVFIO_IO(17);

// The features' numbers, with their operations and data.
static const uint32_t CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;                // set: 16 bytes, a UUID
static const uint32_t CVFIO_DEVICE_FEATURE_MIGRATION = 1;                   // get: cvfio_device_feature_migration
static const uint32_t CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;            // get, set: cvfio_device_feature_mig_state
static const uint32_t CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;             // set: no data
static const uint32_t CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4; // set: cvfio_device_low_power_entry_with_wakeup
static const uint32_t CVFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;              // set: no data
static const uint32_t CVFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;           // set: cvfio_device_feature_dma_logging_control
static const uint32_t CVFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;            // set: no data
static const uint32_t CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;          // get: cvfio_device_feature_dma_logging_report
static const uint32_t CVFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;               // get: cvfio_device_feature_mig_data_size; since 6.2
static const uint32_t CVFIO_DEVICE_FEATURE_BUS_MASTER = 10;                 // set: cvfio_device_feature_bus_master; CDX only
static const uint32_t CVFIO_DEVICE_FEATURE_DMA_BUF = 11;                    // get: cvfio_device_feature_dma_buf; since 6.19
static const uint32_t CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;         // set: no data
static const uint32_t CVFIO_DEVICE_FEATURE_ZPCI_ERROR = 13;                 // get: cvfio_device_feature_zpci_err; s390 only

// ---- Migration ----

/// CVFIO_DEVICE_FEATURE_MIGRATION: the device's migration capabilities.
struct cvfio_device_feature_migration {
    uint64_t flags;
};

static const uint64_t CVFIO_MIGRATION_STOP_COPY = 1u << 0;  // required: STOP, STOP_COPY, RESUMING
static const uint64_t CVFIO_MIGRATION_P2P = 1u << 1;        // the states named P2P
static const uint64_t CVFIO_MIGRATION_PRE_COPY = 1u << 2;   // the states named PRE_COPY; since 6.2

/// CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE. data_fd is the stream's descriptor if the change starts a stream, otherwise
/// -1.
struct cvfio_device_feature_mig_state {
    uint32_t device_state;
    int32_t data_fd;
};

static const uint32_t CVFIO_DEVICE_STATE_ERROR = 0;  // cannot be requested; left by a reset
static const uint32_t CVFIO_DEVICE_STATE_STOP = 1;
static const uint32_t CVFIO_DEVICE_STATE_RUNNING = 2;
static const uint32_t CVFIO_DEVICE_STATE_STOP_COPY = 3;
static const uint32_t CVFIO_DEVICE_STATE_RESUMING = 4;
static const uint32_t CVFIO_DEVICE_STATE_RUNNING_P2P = 5;
static const uint32_t CVFIO_DEVICE_STATE_PRE_COPY = 6;      // since 6.2
static const uint32_t CVFIO_DEVICE_STATE_PRE_COPY_P2P = 7;  // since 6.2

/// CVFIO_DEVICE_FEATURE_MIG_DATA_SIZE: the estimated size of the STOP_COPY data in bytes.
struct cvfio_device_feature_mig_data_size {
    uint64_t stop_copy_length;
};

/// CVFIO_MIG_GET_PRECOPY_INFO, on the stream's descriptor in the PRE_COPY states: the estimated number of bytes left.
/// flags are valid only after CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 was set.
struct cvfio_precopy_info {
    uint32_t argsz;
    uint32_t flags;
    uint64_t initial_bytes;  // left of the initial data; wait for 0
    uint64_t dirty_bytes;    // changed since
};

static const uint32_t CVFIO_PRECOPY_INFO_REINIT = 1u << 0;  // later than 6.12: initial_bytes has been reset

static const unsigned long CVFIO_MIG_GET_PRECOPY_INFO = CVFIO_IO(21);  // since 6.2

// ---- DMA logging ----

/// CVFIO_DEVICE_FEATURE_DMA_LOGGING_START: logs the device's writes. page_size is a hint, and is set to the actual
/// size.
struct cvfio_device_feature_dma_logging_control {
    uint64_t page_size;
    uint32_t num_ranges;
    uint32_t __reserved;
    uint64_t ranges;  // address of num_ranges of struct cvfio_device_feature_dma_logging_range
};

struct cvfio_device_feature_dma_logging_range {
    uint64_t iova;
    uint64_t length;
};

/// CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: reads and clears the log of a range. Only sets bits in the
/// caller's bitmap.
struct cvfio_device_feature_dma_logging_report {
    uint64_t iova;
    uint64_t length;
    uint64_t page_size;  // bytes that one bit stands for
    uint64_t bitmap;     // address of an array of uint64_t
};

// ---- Power ----

/// CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: the eventfd is signalled when the device leaves low power.
struct cvfio_device_low_power_entry_with_wakeup {
    int32_t wakeup_eventfd;
    uint32_t reserved;
};

// ---- Bus mastering ----

/// CVFIO_DEVICE_FEATURE_BUS_MASTER: for buses without a register for it, unlike PCI.
struct cvfio_device_feature_bus_master {
    uint32_t op;
};

static const uint32_t CVFIO_DEVICE_FEATURE_CLEAR_MASTER = 0;
static const uint32_t CVFIO_DEVICE_FEATURE_SET_MASTER = 1;

// ---- dma-buf export ----

/// A part of a region, in bytes.
struct cvfio_region_dma_range {
    uint64_t offset;
    uint64_t length;
};

/// CVFIO_DEVICE_FEATURE_DMA_BUF: the ioctl returns the new descriptor. open_flags as for open(2); flags must be 0.
/// Followed by nr_ranges of struct cvfio_region_dma_range.
struct cvfio_device_feature_dma_buf {
    uint32_t region_index;
    uint32_t open_flags;
    uint32_t flags;
    uint32_t nr_ranges;
};

// ---- s390 errors ----

/// CVFIO_DEVICE_FEATURE_ZPCI_ERROR: address of a buffer, of the length in cvfio_device_info_cap_zpci_base. ENOMSG if
/// no error is pending.
struct cvfio_device_feature_zpci_err {
    uint64_t data;
};

#endif
