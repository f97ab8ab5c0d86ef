internal import CVFIO
import SystemPackage
import VFIO

extension DeviceFile {
    private func interruptCount(_ index: UInt32) -> Int {
        switch index {
        case CVFIO_PCI_INTX_IRQ_INDEX: function.pci.hasINTx ? 1 : 0
        case CVFIO_PCI_MSI_IRQ_INDEX: function.pci.msiVectors
        case CVFIO_PCI_MSIX_IRQ_INDEX: function.pci.msix?.vectors ?? 0
        case CVFIO_PCI_ERR_IRQ_INDEX: hasErrorInterrupt ? 1 : 0
        case CVFIO_PCI_REQ_IRQ_INDEX: 1
        default: 0
        }
    }

    private var hasErrorInterrupt: Bool { function.pci.isExpress || !follows6_1 }

    func interruptInfo(_ argument: Argument) throws(Errno) {
        var info = try argument.loadSized(cvfio_irq_info())
        if info.index >= CVFIO_PCI_NUM_IRQS { throw .invalidArgument }
        if info.index == CVFIO_PCI_ERR_IRQ_INDEX && !hasErrorInterrupt { throw .invalidArgument }
        info.flags = CVFIO_IRQ_INFO_EVENTFD
        info.count = UInt32(interruptCount(info.index))
        if info.index == CVFIO_PCI_INTX_IRQ_INDEX {
            info.flags |= CVFIO_IRQ_INFO_MASKABLE | CVFIO_IRQ_INFO_AUTOMASKED
        } else if info.index != CVFIO_PCI_MSIX_IRQ_INDEX || function.pci.msix == nil || follows6_1 {
            info.flags |= CVFIO_IRQ_INFO_NORESIZE
        }
        try argument.store(info)
    }

    /// The data of `VFIO_DEVICE_SET_IRQS`.
    private enum Data {
        case none
        case bools([Bool])
        case events([Int32])

        /// Which of `count` vectors an action without eventfds applies to.
        func vectors(_ count: Int) -> [Int] {
            if case .bools(let values) = self { values.indices.filter { values[$0] } } else { Array(0..<count) }
        }
    }

    func setInterrupts(_ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_irq_set>.size
        let request = try argument.loadSized(cvfio_irq_set())
        let most = interruptCount(request.index)
        if request.index >= CVFIO_PCI_NUM_IRQS
            || UInt64(request.count) >= UInt64(UInt32.max) - UInt64(request.start)
            || request.flags & ~(CVFIO_IRQ_SET_DATA_TYPE_MASK | CVFIO_IRQ_SET_ACTION_TYPE_MASK) != 0
        {
            throw .invalidArgument
        }
        let (start, count) = (Int(request.start), Int(request.count))
        if start >= most || start + count > most { throw .invalidArgument }
        let data: Data
        let room = Int(request.argsz) - size
        switch request.flags & CVFIO_IRQ_SET_DATA_TYPE_MASK {
        case CVFIO_IRQ_SET_DATA_NONE: data = .none
        case CVFIO_IRQ_SET_DATA_BOOL:
            if room < count { throw .invalidArgument }
            data = .bools(try argument.bytes(at: size, count).map { $0 != 0 })
        case CVFIO_IRQ_SET_DATA_EVENTFD:
            if room < count * 4 { throw .invalidArgument }
            data = .events(try argument.array(Int32.self, count, at: size))
        default: throw .invalidArgument
        }
        switch (request.index, request.flags & CVFIO_IRQ_SET_ACTION_TYPE_MASK) {
        case (CVFIO_PCI_INTX_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_TRIGGER): try setINTx(start, count, data)
        case (CVFIO_PCI_INTX_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_MASK): try maskINTx(start, count, data)
        case (CVFIO_PCI_INTX_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_UNMASK): try unmaskINTx(start, count, data)
        case (CVFIO_PCI_MSI_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_TRIGGER): try setVectors(.msi, start, count, data)
        case (CVFIO_PCI_MSIX_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_TRIGGER): try setVectors(.msix, start, count, data)
        case (CVFIO_PCI_ERR_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_TRIGGER):
            if start != 0 || count > 1 { throw .invalidArgument }
            try setSingle(&function.interrupts.error, count, data)
        case (CVFIO_PCI_REQ_IRQ_INDEX, CVFIO_IRQ_SET_ACTION_TRIGGER):
            if start != 0 || count > 1 { throw .invalidArgument }
            try setSingle(&function.interrupts.request, count, data)
            if function.isUnplugged { function.interrupts.requestRelease() }
        default: throw .inappropriateIOCTLForDevice
        }
    }

    // MARK: INTx

    private func setINTx(_ start: Int, _ count: Int, _ data: Data) throws(Errno) {
        let interrupts = function.interrupts
        let isOn = interrupts.kind == .intx
        if isOn, count == 0, case .none = data { return function.disableInterrupts() }
        if !(isOn || interrupts.kind == .none) || start != 0 || count != 1 { throw .invalidArgument }
        switch data {
        case .events(let numbers):
            let event = numbers[0] >= 0 ? try EventDescriptor(numbers[0]) : nil
            interrupts.triggers[0] = event
            if !isOn {
                interrupts.kind = .intx
                interrupts.isMasked = interrupts.isDisabledByCommand
                function.deliverINTx()
            }
        case .none, .bools:
            if !isOn { throw .invalidArgument }
            if !data.vectors(count).isEmpty { testINTx() }
        }
    }

    /// Raises INTx as a test: vfio-pci ignores the mask, and drivers of mediated devices do not.
    private func testINTx() {
        if function.isMediated {
            function.setINTx(true)
            function.setINTx(false)
        } else if !function.interrupts.isDisabledByCommand {
            function.interrupts.signal(0)
        }
    }

    private func maskINTx(_ start: Int, _ count: Int, _ data: Data) throws(Errno) {
        if function.interrupts.kind != .intx || start != 0 || count != 1 { throw .invalidArgument }
        if case .events = data { throw .inappropriateIOCTLForDevice }
        if !data.vectors(count).isEmpty { function.maskINTx() }
    }

    private func unmaskINTx(_ start: Int, _ count: Int, _ data: Data) throws(Errno) {
        if function.interrupts.kind != .intx || start != 0 || count != 1 { throw .invalidArgument }
        switch data {
        case .none, .bools: if !data.vectors(count).isEmpty { function.unmaskINTx() }
        case .events where function.isMediated: throw .inappropriateIOCTLForDevice
        case .events(let numbers):
            if numbers[0] < 0 {
                function.interrupts.unmask = nil
            } else {
                if function.interrupts.unmask != nil { throw .resourceBusy }
                function.interrupts.unmask = try EventDescriptor(numbers[0])
            }
            function.updateWatching()
        }
    }

    // MARK: MSI and MSI-X

    private func setVectors(_ kind: Interrupts.Kind, _ start: Int, _ count: Int, _ data: Data) throws(Errno) {
        let interrupts = function.interrupts
        let isOn = interrupts.kind == kind
        if isOn, count == 0, case .none = data { return function.disableInterrupts() }
        if !isOn && interrupts.kind != .none { throw .invalidArgument }
        switch data {
        case .events(let numbers):
            if !isOn {
                // pci_alloc_irq_vectors requires at least one.
                if start + count == 0 { throw .invalidArgument }
                interrupts.kind = kind
                interrupts.allocatedCount = start + count
                function.config.setMSIXEnabled(kind == .msix)
            }
            let canGrow = kind == .msix && !follows6_1
            var next = start
            do throws(Errno) {
                for number in numbers {
                    let vector = next
                    next += 1
                    interrupts.triggers[vector] = nil
                    guard number >= 0 else { continue }
                    if vector >= interrupts.allocatedCount && !canGrow { throw .invalidArgument }
                    interrupts.triggers[vector] = try EventDescriptor(number)
                }
            } catch {
                // As in the kernel, the vectors up to the failed one are off, and those after it unchanged.
                for vector in start..<next { interrupts.triggers[vector] = nil }
                if !isOn { function.disableInterrupts() }
                throw error
            }
        case .none, .bools:
            if !isOn { throw .invalidArgument }
            for vector in data.vectors(count) { interrupts.signal(start + vector) }
        }
    }

    // MARK: Error and request

    private func setSingle(_ event: inout EventDescriptor?, _ count: Int, _ data: Data) throws(Errno) {
        switch data {
        case .none:
            guard let current = event else { throw .invalidArgument }
            if count > 0 { current.signal() } else { event = nil }
        case .bools(let values):
            guard let value = values.first else { throw .invalidArgument }
            if value { event?.signal() }
        case .events(let numbers):
            guard let number = numbers.first, number >= -1 else { throw .invalidArgument }
            event = number == -1 ? nil : try EventDescriptor(number)
        }
    }

    // MARK: Events that write registers

    /// Registers an eventfd that writes a register: `VFIO_DEVICE_IOEVENTFD`.
    func setEventWrite(_ argument: Argument) throws(Errno) {
        let request = try argument.loadSized(cvfio_device_ioeventfd(), argsz: 28)
        if request.flags & ~CVFIO_DEVICE_IOEVENTFD_SIZE_MASK != 0 || request.flags.nonzeroBitCount != 1
            || request.fd < -1
        {
            throw .invalidArgument
        }
        let width = Int(request.flags)
        let bar = Int(request.offset >> 40)
        let offset = request.offset & (1 << 40 - 1)
        if bar > Int(CVFIO_PCI_BAR5_REGION_INDEX) || offset + UInt64(width) > function.barSize(bar) {
            throw .invalidArgument
        }
        if let msix = function.pci.msix, msix.bar == bar, msix.table.overlaps(Int(offset)..<Int(offset) + width) {
            throw .invalidArgument
        }
        defer { function.updateWatching() }
        let same = function.eventWrites.firstIndex {
            $0.bar == bar && $0.offset == offset && $0.width == width && $0.value == request.data
        }
        if let same {
            if request.fd >= 0 { throw .fileExists }
            function.eventWrites.remove(at: same)
            return
        }
        if request.fd < 0 { throw .operationNotSupportedByDevice }
        if function.eventWrites.count >= 1000 { throw .noSpace }
        function.eventWrites.append(
            EventWrite(
                bar: bar, offset: offset, width: width, value: request.data, event: try EventDescriptor(request.fd)))
    }
}
