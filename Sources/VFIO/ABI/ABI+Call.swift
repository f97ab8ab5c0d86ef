internal import CVFIO
package import SystemPackage

extension ABI {
    /// The name and number of an ioctl, and its properties.
    package struct Call {
        let name: StaticString
        let number: UInt
        /// The structure begins with its size (`argsz`, `size`).
        private(set) var isSized = false
        /// EINVAL means that the kernel, the driver or the device lacks this, as ENOTTY and EOPNOTSUPP do.
        private var isLackingByEINVAL = false
        private var isKVM = false

        /// Returns the operation's text for errors: `"map memory (VFIO_IOMMU_MAP_DMA)"`.
        package func operation(_ words: String) -> String { "\(words) (\(name))" }

        /// Returns whether an errno means that the kernel, the driver or the device lacks this.
        func isLacking(by errno: Errno) -> Bool {
            switch errno {
            case .inappropriateIOCTLForDevice, .notSupported: true
            case .invalidArgument: isLackingByEINVAL
            default: false
            }
        }

        /// Returns the error for a failed request.
        ///
        /// - Parameters:
        ///   - hint: The remedy if this is lacking; `nil` if the caller does not expect that.
        ///   - refusals: The codes of other errors.
        package func failure(
            _ errno: Errno, _ operation: String, _ subject: String, lacking hint: String?,
            _ refusals: [Errno: Refusal] = [:]
        ) -> VFIOError {
            var refusals = refusals
            if let hint, refusals[errno] == nil, isLacking(by: errno) { refusals[errno] = (.unsupported, hint) }
            if isKVM, refusals[errno] == nil { refusals[errno] = Self.kvmRefusals[errno] }
            return VFIOError(refused: errno, operation, subject, refusals)
        }

        private static let kvmRefusals: [Errno: Refusal] = [
            .inappropriateIOCTLForDevice: (
                .invalidArgument, "the descriptor is no virtual machine's; it comes from KVM_CREATE_VM"
            ),
            .ioError: (.kernel, "the machine is another process's, or is broken for good"),
        ]

        // Inlined, so that a successful request does not access its name.
        @inline(__always)
        static func bare(_ name: StaticString, _ number: UInt) -> Self { .init(name: name, number: number) }

        @inline(__always)
        static func sized(_ name: StaticString, _ number: UInt) -> Self {
            .init(name: name, number: number, isSized: true)
        }

        static func orEINVAL(_ name: StaticString, _ number: UInt) -> Self {
            .init(name: name, number: number, isSized: true, isLackingByEINVAL: true)
        }

        static func kvm(_ name: StaticString, _ number: UInt) -> Self {
            .init(name: name, number: number, isKVM: true)
        }
    }
}

// <linux/vfio.h>.
extension ABI.Call {
    package static var getAPIVersion: Self { .bare("VFIO_GET_API_VERSION", CVFIO_GET_API_VERSION) }
    package static var checkExtension: Self { .bare("VFIO_CHECK_EXTENSION", CVFIO_CHECK_EXTENSION) }
    package static var setIOMMU: Self { .bare("VFIO_SET_IOMMU", CVFIO_SET_IOMMU) }
    package static var getGroupStatus: Self { .sized("VFIO_GROUP_GET_STATUS", CVFIO_GROUP_GET_STATUS) }
    package static var setContainer: Self { .bare("VFIO_GROUP_SET_CONTAINER", CVFIO_GROUP_SET_CONTAINER) }
    package static var getGroupDevice: Self { .bare("VFIO_GROUP_GET_DEVICE_FD", CVFIO_GROUP_GET_DEVICE_FD) }
    package static var getType1Info: Self { .sized("VFIO_IOMMU_GET_INFO", CVFIO_IOMMU_GET_INFO) }
    package static var mapDMA: Self { .sized("VFIO_IOMMU_MAP_DMA", CVFIO_IOMMU_MAP_DMA) }
    package static var unmapDMA: Self { .sized("VFIO_IOMMU_UNMAP_DMA", CVFIO_IOMMU_UNMAP_DMA) }
    package static var trackDirtyPages: Self { .sized("VFIO_IOMMU_DIRTY_PAGES", CVFIO_IOMMU_DIRTY_PAGES) }
    package static var getDeviceInfo: Self { .sized("VFIO_DEVICE_GET_INFO", CVFIO_DEVICE_GET_INFO) }
    package static var getRegionInfo: Self { .sized("VFIO_DEVICE_GET_REGION_INFO", CVFIO_DEVICE_GET_REGION_INFO) }
    package static var getIRQInfo: Self { .sized("VFIO_DEVICE_GET_IRQ_INFO", CVFIO_DEVICE_GET_IRQ_INFO) }
    package static var setIRQs: Self { .sized("VFIO_DEVICE_SET_IRQS", CVFIO_DEVICE_SET_IRQS) }
    package static var reset: Self { .bare("VFIO_DEVICE_RESET", CVFIO_DEVICE_RESET) }
    package static var getHotResetInfo: Self {
        .sized("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO)
    }
    package static var hotReset: Self { .sized("VFIO_DEVICE_PCI_HOT_RESET", CVFIO_DEVICE_PCI_HOT_RESET) }
    package static var setRegisterWrite: Self { .sized("VFIO_DEVICE_IOEVENTFD", CVFIO_DEVICE_IOEVENTFD) }
    package static var queryPlane: Self { .orEINVAL("VFIO_DEVICE_QUERY_GFX_PLANE", CVFIO_DEVICE_QUERY_GFX_PLANE) }
    package static var getPlaneDMABuf: Self { .bare("VFIO_DEVICE_GET_GFX_DMABUF", CVFIO_DEVICE_GET_GFX_DMABUF) }
    package static var bindDevice: Self { .sized("VFIO_DEVICE_BIND_IOMMUFD", CVFIO_DEVICE_BIND_IOMMUFD) }
    package static var attachDevice: Self { .orEINVAL("VFIO_DEVICE_ATTACH_IOMMUFD_PT", CVFIO_DEVICE_ATTACH_IOMMUFD_PT) }
    package static var detachDevice: Self { .orEINVAL("VFIO_DEVICE_DETACH_IOMMUFD_PT", CVFIO_DEVICE_DETACH_IOMMUFD_PT) }
    package static var getPreCopyProgress: Self { .sized("VFIO_MIG_GET_PRECOPY_INFO", CVFIO_MIG_GET_PRECOPY_INFO) }
    package static var probeFeature: Self { .orEINVAL("VFIO_DEVICE_FEATURE", CVFIO_DEVICE_FEATURE) }
}

// <linux/vfio.h>: features, which all have the number of `VFIO_DEVICE_FEATURE`.
extension ABI.Call {
    package static var setVFToken: Self { .sized("VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", CVFIO_DEVICE_FEATURE) }
    package static var getMigration: Self { .sized("VFIO_DEVICE_FEATURE_MIGRATION", CVFIO_DEVICE_FEATURE) }
    package static var migrationState: Self { .sized("VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE", CVFIO_DEVICE_FEATURE) }
    package static var enterLowPower: Self { .sized("VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY", CVFIO_DEVICE_FEATURE) }
    package static var enterLowPowerUntilWakeup: Self {
        .sized("VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP", CVFIO_DEVICE_FEATURE)
    }
    package static var leaveLowPower: Self { .sized("VFIO_DEVICE_FEATURE_LOW_POWER_EXIT", CVFIO_DEVICE_FEATURE) }
    package static var startDMALog: Self { .sized("VFIO_DEVICE_FEATURE_DMA_LOGGING_START", CVFIO_DEVICE_FEATURE) }
    package static var stopDMALog: Self { .sized("VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP", CVFIO_DEVICE_FEATURE) }
    package static var readDMALog: Self { .sized("VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT", CVFIO_DEVICE_FEATURE) }
    package static var getMigrationDataSize: Self { .sized("VFIO_DEVICE_FEATURE_MIG_DATA_SIZE", CVFIO_DEVICE_FEATURE) }
    package static var setBusMaster: Self { .sized("VFIO_DEVICE_FEATURE_BUS_MASTER", CVFIO_DEVICE_FEATURE) }
    package static var exportDMABuf: Self { .sized("VFIO_DEVICE_FEATURE_DMA_BUF", CVFIO_DEVICE_FEATURE) }
    package static var enablePreCopyFlags: Self {
        .sized("VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2", CVFIO_DEVICE_FEATURE)
    }
    package static var takeZPCIError: Self { .sized("VFIO_DEVICE_FEATURE_ZPCI_ERROR", CVFIO_DEVICE_FEATURE) }
}

// <linux/iommufd.h>.
extension ABI.Call {
    package static var destroy: Self { .sized("IOMMU_DESTROY", CIOMMU_DESTROY) }
    package static var makeIOAS: Self { .sized("IOMMU_IOAS_ALLOC", CIOMMU_IOAS_ALLOC) }
    package static var allowIOVAs: Self { .sized("IOMMU_IOAS_ALLOW_IOVAS", CIOMMU_IOAS_ALLOW_IOVAS) }
    package static var copyMapping: Self { .sized("IOMMU_IOAS_COPY", CIOMMU_IOAS_COPY) }
    package static var getIOVARanges: Self { .sized("IOMMU_IOAS_IOVA_RANGES", CIOMMU_IOAS_IOVA_RANGES) }
    package static var mapMemory: Self { .sized("IOMMU_IOAS_MAP", CIOMMU_IOAS_MAP) }
    package static var unmap: Self { .sized("IOMMU_IOAS_UNMAP", CIOMMU_IOAS_UNMAP) }
    package static var option: Self { .sized("IOMMU_OPTION", CIOMMU_OPTION) }
    package static var containerSpace: Self { .sized("IOMMU_VFIO_IOAS", CIOMMU_VFIO_IOAS) }
    package static var makePageTable: Self { .sized("IOMMU_HWPT_ALLOC", CIOMMU_HWPT_ALLOC) }
    package static var getHardwareInfo: Self { .sized("IOMMU_GET_HW_INFO", CIOMMU_GET_HW_INFO) }
    package static var setDirtyTracking: Self {
        .sized("IOMMU_HWPT_SET_DIRTY_TRACKING", CIOMMU_HWPT_SET_DIRTY_TRACKING)
    }
    package static var getDirtyBitmap: Self { .sized("IOMMU_HWPT_GET_DIRTY_BITMAP", CIOMMU_HWPT_GET_DIRTY_BITMAP) }
    package static var invalidate: Self { .sized("IOMMU_HWPT_INVALIDATE", CIOMMU_HWPT_INVALIDATE) }
    package static var makeFaultQueue: Self { .sized("IOMMU_FAULT_QUEUE_ALLOC", CIOMMU_FAULT_QUEUE_ALLOC) }
    package static var mapFile: Self { .sized("IOMMU_IOAS_MAP_FILE", CIOMMU_IOAS_MAP_FILE) }
    package static var makeVirtualIOMMU: Self { .sized("IOMMU_VIOMMU_ALLOC", CIOMMU_VIOMMU_ALLOC) }
    package static var makeVirtualDevice: Self { .sized("IOMMU_VDEVICE_ALLOC", CIOMMU_VDEVICE_ALLOC) }
    package static var changeProcess: Self { .sized("IOMMU_IOAS_CHANGE_PROCESS", CIOMMU_IOAS_CHANGE_PROCESS) }
    package static var makeEventQueue: Self { .sized("IOMMU_VEVENTQ_ALLOC", CIOMMU_VEVENTQ_ALLOC) }
    package static var makeHardwareQueue: Self { .sized("IOMMU_HW_QUEUE_ALLOC", CIOMMU_HW_QUEUE_ALLOC) }
    package static var getPhysicalAddress: Self { .sized("IOMMU_IOAS_NOIOMMU_GET_PA", CIOMMU_IOAS_NOIOMMU_GET_PA) }
}

// <linux/dma-buf.h>.
extension ABI.Call {
    package static var setDMABufName: Self { .bare("DMA_BUF_SET_NAME", CDMA_BUF_SET_NAME) }
    package static var syncDMABuf: Self { .bare("DMA_BUF_IOCTL_SYNC", CDMA_BUF_IOCTL_SYNC) }
}

// <linux/kvm.h>.
extension ABI.Call {
    package static var makeVFIODevice: Self { .kvm("KVM_CREATE_DEVICE", CKVM_CREATE_DEVICE) }
    package static var addVFIOFile: Self { .kvm("KVM_DEV_VFIO_FILE_ADD", CKVM_SET_DEVICE_ATTR) }
    package static var removeVFIOFile: Self { .kvm("KVM_DEV_VFIO_FILE_DEL", CKVM_SET_DEVICE_ATTR) }
    package static var setIRQFD: Self { .kvm("KVM_IRQFD", CKVM_IRQFD) }
    package static var setIOEventFD: Self { .kvm("KVM_IOEVENTFD", CKVM_IOEVENTFD) }
    package static var setMemorySlot: Self { .kvm("KVM_SET_USER_MEMORY_REGION", CKVM_SET_USER_MEMORY_REGION) }
}
