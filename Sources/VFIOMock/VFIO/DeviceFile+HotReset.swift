internal import CVFIO
import SystemPackage
import VFIO

extension DeviceFile {
    func hotResetInfo(_ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_pci_hot_reset_info>.size
        var info = try argument.loadSized(cvfio_pci_hot_reset_info())
        info.flags = 0
        if function.isOnRootBus { throw .operationNotSupportedByDevice }
        let affected = driver.bus.functions(onBusOf: function)
        info.count = UInt32(affected.count)
        if affected.count > (Int(info.argsz) - size) / MemoryLayout<cvfio_pci_dependent_device>.size {
            try argument.store(info)
            throw .noSpace
        }
        if function.isOpenByNode {
            info.flags = CVFIO_PCI_HOT_RESET_FLAG_DEV_ID | CVFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED
        }
        for (index, other) in affected.enumerated() {
            var entry = cvfio_pci_dependent_device()
            entry.segment = UInt16(truncatingIfNeeded: other.address.domain)
            entry.bus = other.address.bus
            entry.devfn = other.address.device << 3 | other.address.function
            if function.isOpenByNode {
                entry.devid =
                    isResetTogether(with: other) ? deviceID(other) : CVFIO_PCI_DEVID_NOT_OWNED
                if entry.devid == CVFIO_PCI_DEVID_NOT_OWNED { info.flags &= ~CVFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED }
            } else {
                entry.group_id = UInt32(other.groupNumber)
            }
            try argument.store(entry, at: size + index * MemoryLayout<cvfio_pci_dependent_device>.size)
        }
        try argument.store(info)
    }

    /// Whether two functions of a bus are in one device set of vfio-pci, which is reset as a whole. Each virtual
    /// function is a set of its own, though the bus reset affects it; not so in 6.1.
    private func isResetTogether(with other: PCIFunction) -> Bool {
        follows6_1 || function === other || (function.physical == nil && other.physical == nil)
    }

    /// The ID of another device in the iommufd of this one, or the constant for an owned or an unowned device.
    private func deviceID(_ other: PCIFunction) -> UInt32 {
        guard other.driver == "vfio-pci", let owner = driver.group(function.groupNumber).owner,
            driver.group(other.groupNumber).owner === owner
        else { return CVFIO_PCI_DEVID_NOT_OWNED }
        return other.boundDevice?.id ?? CVFIO_PCI_DEVID_OWNED
    }

    func hotReset(_ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_pci_hot_reset>.size
        let request = try argument.loadSized(cvfio_pci_hot_reset())
        if request.flags != 0 { throw .invalidArgument }
        // 6.1 has no device nodes, and checks the count only later.
        if !follows6_1 && (request.count != 0) == function.isOpenByNode { throw .invalidArgument }
        if function.isOnRootBus { throw .operationNotSupportedByDevice }
        if request.count == 0 && !function.isOpenByNode { throw .invalidArgument }
        let affected = driver.bus.functions(onBusOf: function)
        if Int(request.count) > affected.count { throw .invalidArgument }
        var given: Set<Int> = []
        for number in try argument.array(Int32.self, Int(request.count), at: size) {
            guard let group = try driver.core.file(number, as: VFIOGroup.self)?.operations else {
                throw .invalidArgument
            }
            given.insert(group.number)
        }
        for other in affected {
            guard other.driver == "vfio-pci", isResetTogether(with: other) else { throw .invalidArgument }
            let isOwned =
                function.isOpenByNode
                ? deviceID(other) != CVFIO_PCI_DEVID_NOT_OWNED : given.contains(other.groupNumber)
            if !isOwned { throw .invalidArgument }
        }
        PCIFunction.resetAll(affected)
    }
}
