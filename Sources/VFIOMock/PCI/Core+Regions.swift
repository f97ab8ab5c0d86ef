internal import CVFIO
import SystemPackage
import VFIO

extension Core {
    /// `pread` and `pwrite` of a device: the offset says which region, and where in it.
    ///
    /// - Returns: The number of bytes.
    func access(
        _ device: DeviceFile, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer, isWrite: Bool
    ) throws(Errno) -> Int {
        guard device.isGranted else { throw .invalidArgument }
        if buffer.count == 0 { return 0 }
        let function = device.function
        let index = UInt32(truncatingIfNeeded: min(offset >> 40, UInt64(UInt32.max)))
        let position = offset & (1 << 40 - 1)
        guard index < function.regionCount else { throw .invalidArgument }
        wake(function)
        switch index {
        case CVFIO_PCI_CONFIG_REGION_INDEX:
            return try unsafe accessConfig(function, Int(position), buffer, isWrite: isWrite)
        case CVFIO_PCI_BAR0_REGION_INDEX...CVFIO_PCI_BAR5_REGION_INDEX:
            return try unsafe accessBAR(function, Int(index), position, buffer, isWrite: isWrite)
        case CVFIO_PCI_NUM_REGIONS...:
            return try unsafe accessBAR(function, Int(index), position, buffer, isWrite: isWrite)
        default: throw .invalidArgument
        }
    }

    private func accessBAR(
        _ function: PCIFunction, _ bar: Int, _ position: UInt64, _ buffer: UnsafeMutableRawBufferPointer, isWrite: Bool
    ) throws(Errno) -> Int {
        let size = function.regionSize(bar)
        guard position < size else { throw .invalidArgument }
        let count = Int(min(UInt64(buffer.count), size - position))
        var hidden = 0..<0
        if let msix = function.pci.msix, msix.bar == bar {
            hidden = msix.tableOffset..<msix.tableOffset + msix.vectors * 16
        }
        var done = 0
        while done < count {
            let offset = Int(position) + done
            // The MSI-X table is the kernel's: it reads as ones, and drops what is written.
            if hidden.contains(offset) {
                let part = min(count - done, hidden.upperBound - offset)
                if !isWrite {
                    unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + part])
                        .initializeMemory(as: UInt8.self, repeating: 0xff)
                }
                done += part
                continue
            }
            guard function.config.isMemoryEnabled || bar >= CVFIO_PCI_NUM_REGIONS else { throw .ioError }
            let room = offset < hidden.lowerBound ? min(count - done, hidden.lowerBound - offset) : count - done
            // Before 6.10 vfio-pci itself goes by 4 bytes at most. But real registers are mapped, and these accesses stand
            // for the loads and stores that are made there, which no kernel takes apart.
            // The drivers of mediated devices do take them apart.
            let widths = function.mediated == nil ? [8, 4, 2, 1] : [4, 2, 1]
            let width = widths.first { room >= $0 && offset % $0 == 0 }!
            if isWrite {
                let value = (0..<width).reduce(UInt64(0)) { unsafe $0 | UInt64(buffer[done + $1]) << UInt64($1 * 8) }
                function.store(self, bar: bar, offset: UInt64(offset), width: width, value)
            } else {
                let value = function.load(self, bar: bar, offset: UInt64(offset), width: width)
                for byte in 0..<width {
                    unsafe buffer[done + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8))
                }
            }
            done += width
        }
        return done
    }

    // MARK: Config space

    private func accessConfig(
        _ function: PCIFunction, _ position: Int, _ buffer: UnsafeMutableRawBufferPointer, isWrite: Bool
    ) throws(Errno) -> Int {
        var done = 0
        while done < buffer.count {
            let offset = position + done
            guard offset < function.config.byteCount, offset + (buffer.count - done) <= function.config.byteCount else {
                throw .badAddress
            }
            let count = function.config.chunk(at: offset, upTo: buffer.count - done)
            if isWrite {
                let value = (0..<count).reduce(UInt32(0)) { unsafe $0 | UInt32(buffer[done + $1]) << UInt32($1 * 8) }
                writeConfig(function, offset, count, value)
            } else {
                let value = function.config.read(offset, count)
                for byte in 0..<count {
                    unsafe buffer[done + byte] = UInt8(truncatingIfNeeded: value >> UInt32(byte * 8))
                }
            }
            done += count
        }
        return done
    }

    /// A write of one aligned piece, with what it sets off.
    private func writeConfig(_ function: PCIFunction, _ offset: Int, _ count: Int, _ value: UInt32) {
        let command = ConfigSpace.Register.command
        if offset == command, value & UInt32(ConfigSpace.Command.memory) == 0 { function.moveExports(revoked: true) }
        function.config.write(offset, count, value)
        if offset == command {
            // Bits 0 and 1: the kernel keeps a copy of them, to know a reset behind its back.
            function.config.shadowCommand = function.config.shadowCommand & ~3 | UInt16(value & 3)
            settle(function)
        }
        if offset == command || offset == command + 1 { updateINTx(function) }
        if let start = function.config.position[ConfigSpace.Capability.powerManagement], offset == start + 4 {
            setPowerState(function, UInt8(value & 3))
        }
        if let start = function.config.position[ConfigSpace.Capability.express], offset >= start, offset < start + 12 {
            resetIfAsked(function, start)
        }
        if let start = function.config.position[ConfigSpace.Capability.msi], offset <= start + 2,
            offset + count > start + 2, offset >= start
        {
            limitMSI(function, start)
        }
    }

    /// After anything that turned memory on or off: mappings of the process and exports follow.
    func settle(_ function: PCIFunction) {
        if function.config.isMemoryEnabled { function.moveExports(revoked: false) }
        updateMappings(of: function)
    }

    private func updateINTx(_ function: PCIFunction) {
        let isDisabled = function.config.shadowCommand & ConfigSpace.Command.interruptDisable != 0
        guard isDisabled != function.interrupts.isDisabledByCommand else { return }
        function.interrupts.isDisabledByCommand = isDisabled
        if isDisabled { function.maskINTx() } else { function.unmaskINTx() }
    }

    private func setPowerState(_ function: PCIFunction, _ state: UInt8) {
        // D1 and D2 are optional, and no device here has them: the kernel refuses, and nothing changes.
        guard state == 0 || state == 3 else { return settle(function) }
        if state == 3 { function.moveExports(revoked: true) }
        // The virtual functions need the physical one's power.
        if state == 0 || function.virtualFunctions?.functions.isEmpty ?? true { function.config.powerState = state }
        settle(function)
    }

    /// Function level reset, asked for in the PCI Express device control register. The bit always reads as zero.
    private func resetIfAsked(_ function: PCIFunction, _ start: Int) {
        guard function.config.shadow[start + 9] & 0x80 != 0 else { return }
        function.config.clearShadow(start + 9, mask: 0x80)
        guard function.pci.hasFunctionLevelReset else { return }
        function.moveExports(revoked: true)
        function.reset(self)
        settle(function)
    }

    /// MSI is turned on by `VFIO_DEVICE_SET_IRQS`, not by its capability.
    private func limitMSI(_ function: PCIFunction, _ start: Int) {
        var flags = function.config.shadow[start + 2]
        if function.interrupts.kind != .msi { flags &= ~1 }
        let most = (function.config.shadow[start + 2] & 0x0e) >> 1
        if (flags & 0x70) >> 4 > most { flags = flags & ~0x70 | most << 4 }
        function.config.setShadow(start + 2, flags)
    }

    // MARK: Reset

    func resetDevice(_ function: PCIFunction) throws(Errno) {
        guard function.hasReset else { throw .invalidArgument }
        function.config.powerState = 0
        function.moveExports(revoked: true)
        function.reset(self)
        settle(function)
    }

    func hotResetInfo(_ function: PCIFunction, _ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_pci_hot_reset_info>.size
        var info = try argument.load(cvfio_pci_hot_reset_info())
        if Int(info.argsz) < size { throw .invalidArgument }
        info.flags = 0
        if function.isOnRootBus { throw .operationNotSupportedByDevice }
        let affected = functionsOnBus(of: function)
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
                    areResetTogether(function, other)
                    ? deviceID(other, for: groups[function.groupNumber]?.owner) : CVFIO_PCI_DEVID_NOT_OWNED
                if entry.devid == CVFIO_PCI_DEVID_NOT_OWNED { info.flags &= ~CVFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED }
            } else {
                entry.group_id = UInt32(other.groupNumber)
            }
            try argument.store(entry, at: size + index * MemoryLayout<cvfio_pci_dependent_device>.size)
        }
        try argument.store(info)
    }

    /// Whether vfio-pci takes two functions of a bus for a set, which it resets as a whole. Each virtual function is a set
    /// of its own, though its bus would be reset with the others; not so in 6.1.
    private func areResetTogether(_ function: PCIFunction, _ other: PCIFunction) -> Bool {
        isOld || function === other || (function.physical == nil && other.physical == nil)
    }

    /// How an iommufd knows a device: by its number, as one of a group of its own, or not at all.
    private func deviceID(_ function: PCIFunction, for iommufd: IOMMUFD?) -> UInt32 {
        guard function.driver == "vfio-pci", let iommufd, groups[function.groupNumber]?.owner === iommufd else {
            return CVFIO_PCI_DEVID_NOT_OWNED
        }
        return function.boundDevice?.id ?? CVFIO_PCI_DEVID_OWNED
    }

    func hotReset(_ device: DeviceFile, _ argument: Argument) throws(Errno) {
        let function = device.function
        let size = MemoryLayout<cvfio_pci_hot_reset>.size
        let request = try argument.load(cvfio_pci_hot_reset())
        if Int(request.argsz) < size || request.flags != 0 { throw .invalidArgument }
        // 6.1 knows no device nodes, and looks at the count only later.
        if !isOld && (request.count != 0) == function.isOpenByNode { throw .invalidArgument }
        if function.isOnRootBus { throw .operationNotSupportedByDevice }
        if request.count == 0 && !function.isOpenByNode { throw .invalidArgument }
        let affected = functionsOnBus(of: function)
        if Int(request.count) > affected.count { throw .invalidArgument }
        var given: Set<Int> = []
        for index in 0..<Int(request.count) {
            let descriptor = FileDescriptor(rawValue: try argument.load(Int32(0), at: size + index * 4))
            let file = self.file(descriptor)
            if file == nil { try checkDescriptor(descriptor) }
            guard case .group(let group)? = file?.object else { throw .invalidArgument }
            given.insert(group.number)
        }
        let owner = groups[function.groupNumber]?.owner
        for other in affected {
            guard other.driver == "vfio-pci", areResetTogether(function, other) else { throw .invalidArgument }
            let isOwned =
                function.isOpenByNode
                ? deviceID(other, for: owner) != CVFIO_PCI_DEVID_NOT_OWNED : given.contains(other.groupNumber)
            if !isOwned { throw .invalidArgument }
        }
        for other in affected { other.moveExports(revoked: true) }
        for other in affected { other.reset(self) }
        for other in affected { settle(other) }
    }
}
