internal import CVFIO
internal import Glibc
import SystemPackage
import VFIO

extension Core {
    // MARK: Pinning

    /// Finds the pages of a range of the process's memory, as `pin_user_pages` does.
    ///
    /// - Parameter allowsBARs: A BAR's mapping counts as memory: so it is to type1, and not to iommufd.
    /// - Throws: `EFAULT`.
    func pin(_ address: UInt64, _ byteCount: UInt64, writable: Bool, allowsBARs: Bool) throws(Errno) -> PinnedMemory {
        var pinned = PinnedMemory()
        let (end, wraps) = address.addingReportingOverflow(byteCount)
        if wraps { throw .badAddress }
        var next = address
        var index = firstMapping(endingAfter: address)
        while next < end {
            if index < cpuMappings.count, cpuMappings[index].address <= next {
                let mapping = cpuMappings[index]
                let shift = next - mapping.address
                let count = min(end, mapping.end) - next
                let needed = writable ? PROT_READ | PROT_WRITE : PROT_READ
                guard mapping.protection & needed == needed else { throw .badAddress }
                switch mapping.source {
                case .memory(let object, let offset): pinned.append(.object(object, offset + Int(shift)), count)
                case .bar(let function, let bar, let offset):
                    guard allowsBARs, !mapping.isZapped else { throw .badAddress }
                    pinned.append(.bar(function, bar, UInt64(offset) + shift), count)
                }
                next += count
                index += 1
            } else {
                let stop = index < cpuMappings.count ? min(end, cpuMappings[index].address) : end
                guard ProcessMemory.isMapped(next, stop - next, writable: writable) else { throw .badAddress }
                pinned.append(.process(next), stop - next)
                next = stop
            }
        }
        return pinned
    }

    private func firstMapping(endingAfter address: UInt64) -> Int {
        var low = 0
        var high = cpuMappings.count
        while low < high {
            let middle = (low + high) / 2
            if cpuMappings[middle].end <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Mapping

    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        var protection = PROT_NONE
        if request.isReadable { protection |= PROT_READ }
        if request.isWritable { protection |= PROT_WRITE }
        switch request.source {
        case .anonymous(let hugePageSize):
            return unsafe try mapMemory(request.byteCount, protection, hugePageSize)
        case .file(let descriptor, let offset):
            guard let file = file(descriptor) else { return unsafe try host.map(request) }
            switch file.object {
            case .device(let device):
                return unsafe try mapDevice(device, file, request, offset, protection)
            // The samples open their dma-bufs for reading, and map them only for writing as well.
            case .dmaBuf, .picture: throw .invalidArgument
            case .iommufd: throw .noSuchAddressOrDevice
            case .container, .group, .faultQueue, .eventQueue, .migration, .kvm, .virtualMachine, .kvmVFIO:
                throw .operationNotSupportedByDevice
            }
        }
    }

    /// Huge pages are ordinary ones here, aligned as huge ones are.
    private func mapMemory(
        _ wanted: Int, _ protection: Int32, _ hugePageSize: Int?
    ) throws(Errno) -> UnsafeMutableRawPointer {
        // To Linux a negative size is a large one.
        if wanted == 0 { throw .invalidArgument }
        let pageSize = hugePageSize ?? host.pageSize
        let (padded, isTooLarge) = wanted.addingReportingOverflow(pageSize - 1)
        let byteCount = padded & ~(pageSize - 1)
        if let hugePageSize {
            guard let count = hugePages[hugePageSize], wanted > 0 else { throw .invalidArgument }
            if isTooLarge || byteCount / hugePageSize > count - usedHugePages(hugePageSize) { throw .noMemory }
        } else if isTooLarge || wanted < 0 || byteCount > memoryByteCount {
            throw .noMemory
        }
        let object = try MemoryObject(
            name: "vfio-mock-memory", byteCount: byteCount, hugePageSize: hugePageSize)
        let target = unsafe hugePageSize == nil ? nil : try reserve(byteCount, alignment: pageSize)
        let address: UnsafeMutableRawPointer
        do throws(Errno) {
            unsafe address = try object.map(at: target, offset: 0, byteCount: byteCount, protection: protection)
        } catch {
            if let target = unsafe target { unsafe _ = munmap(target, byteCount) }
            throw error
        }
        object.closeFile()
        let start = UInt64(UInt(bitPattern: address))
        forget(start..<start + UInt64(byteCount))
        remember(
            CPUMapping(
                address: start, byteCount: UInt64(byteCount), source: .memory(object, 0), protection: protection,
                file: nil))
        return unsafe address
    }

    /// How many huge pages are mapped by the process or pinned for a device: those that the pool does not have.
    ///
    /// Counted when it is asked for, so that every way to let go of a page gives it back.
    private func usedHugePages(_ size: Int) -> Int {
        struct Page: Hashable {
            let object: ObjectIdentifier
            let index: Int
        }
        var pages: Set<Page> = []
        func add(_ object: MemoryObject, _ offset: Int, _ byteCount: UInt64) {
            guard object.hugePageSize == size, byteCount > 0 else { return }
            for index in offset / size...(offset + Int(byteCount) - 1) / size {
                pages.insert(Page(object: ObjectIdentifier(object), index: index))
            }
        }
        for mapping in cpuMappings {
            if case .memory(let object, let offset) = mapping.source { add(object, offset, mapping.byteCount) }
        }
        for segment in spaces.flatMap(\.pinnedSegments) {
            if case .object(let object, let offset) = segment.backing { add(object, offset, segment.byteCount) }
        }
        return pages.count
    }

    /// Free addresses with an alignment: the surplus of a larger reservation is given back.
    private func reserve(_ byteCount: Int, alignment: Int) throws(Errno) -> UnsafeMutableRawPointer {
        let flags = Int32(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
        let whole = unsafe mmap(nil, byteCount + alignment, PROT_NONE, flags, -1, 0)
        guard let whole = unsafe whole, unsafe whole != MAP_FAILED else { throw Errno(rawValue: Glibc.errno) }
        let start = UInt(bitPattern: whole)
        let before = Int((start + UInt(alignment) - 1) & ~(UInt(alignment) - 1) - start)
        if before > 0 { unsafe _ = munmap(whole, before) }
        unsafe _ = munmap(whole + before + byteCount, alignment - before)
        return unsafe whole + before
    }

    private func mapDevice(
        _ device: DeviceFile, _ file: OpenFile, _ request: MemoryMapRequest, _ offset: UInt64, _ protection: Int32
    ) throws(Errno) -> UnsafeMutableRawPointer {
        guard device.isGranted else { throw .invalidArgument }
        let function = device.function
        let index = Int(offset >> 40)
        let start = Int(offset & (1 << 40 - 1))
        let page = host.pageSize
        guard index < Int(CVFIO_PCI_ROM_REGION_INDEX), let memory = function.memory[index], start % page == 0,
            request.byteCount > 0, request.byteCount <= memory.byteCount
        else { throw .invalidArgument }
        let byteCount = (request.byteCount + page - 1) & ~(page - 1)
        guard start + byteCount <= memory.byteCount else { throw .invalidArgument }
        let isReachable = function.config.isMemoryEnabled && !function.isInLowPower
        let address: UnsafeMutableRawPointer
        if isReachable {
            unsafe address = try memory.map(at: nil, offset: start, byteCount: byteCount, protection: protection)
        } else {
            unsafe address = try mapNothing(at: nil, byteCount, protection)
        }
        let first = UInt64(UInt(bitPattern: address))
        forget(first..<first + UInt64(byteCount))
        let mapping = CPUMapping(
            address: first, byteCount: UInt64(byteCount), source: .bar(function, index, start),
            protection: protection, file: file)
        mapping.isZapped = !isReachable
        remember(mapping)
        return unsafe address
    }

    private func mapNothing(
        at address: UnsafeMutableRawPointer?, _ byteCount: Int, _ protection: Int32
    ) throws(Errno) -> UnsafeMutableRawPointer {
        let file = try emptyFileDescriptor()
        let flags = unsafe MAP_SHARED | (address == nil ? 0 : Int32(MAP_FIXED))
        let mapped = unsafe mmap(address, byteCount, protection, flags, file, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { throw Errno(rawValue: Glibc.errno) }
        return unsafe mapped
    }

    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        let start = UInt64(UInt(bitPattern: memory.baseAddress))
        let page = UInt64(host.pageSize)
        let end = start + (UInt64(memory.count) + page - 1) & ~(page - 1)
        if splitsHugePage(at: start) || splitsHugePage(at: end) { throw .invalidArgument }
        try unsafe host.unmap(memory)
        forget(start..<end)
    }

    /// Whether an address lies inside of a huge page, which Linux takes apart for nobody.
    private func splitsHugePage(at address: UInt64) -> Bool {
        let index = firstMapping(endingAfter: address)
        guard index < cpuMappings.count, cpuMappings[index].address < address,
            case .memory(let object, let offset) = cpuMappings[index].source, let size = object.hugePageSize
        else { return false }
        return (UInt64(offset) + address - cpuMappings[index].address) % UInt64(size) != 0
    }

    // MARK: What is mapped

    private func remember(_ mapping: CPUMapping) {
        if let file = mapping.file { hold(file) }
        cpuMappings.insert(mapping, at: firstMapping(endingAfter: mapping.address))
    }

    /// Takes a range out of what is known to be mapped; mappings that reach beyond it keep the rest.
    private func forget(_ range: Range<UInt64>) {
        let first = firstMapping(endingAfter: range.lowerBound)
        var end = first
        while end < cpuMappings.count, cpuMappings[end].address < range.upperBound { end += 1 }
        guard first < end else { return }
        let touched = Array(cpuMappings[first..<end])
        let rest = touched.flatMap {
            [$0.part(0..<range.lowerBound), $0.part(range.upperBound..<UInt64.max)].compactMap(\.self)
        }
        cpuMappings.replaceSubrange(first..<end, with: rest)
        for mapping in rest { if let file = mapping.file { hold(file) } }
        for mapping in touched { if let file = mapping.file { unhold(file) } }
    }

    /// Puts the BAR mappings of a device right: they lead nowhere while memory decode is off or power is low.
    func updateMappings(of function: PCIFunction) {
        let isReachable = function.config.isMemoryEnabled && !function.isInLowPower
        for mapping in cpuMappings {
            guard case .bar(let owner, let bar, let offset) = mapping.source, owner === function,
                mapping.isZapped == isReachable, let memory = function.memory[bar]
            else { continue }
            let address = unsafe UnsafeMutableRawPointer(bitPattern: UInt(mapping.address))
            // Nothing can be done about a failure here, nor is there one to expect: the addresses are taken already.
            if isReachable {
                unsafe _ = try? memory.map(
                    at: address, offset: offset, byteCount: Int(mapping.byteCount), protection: mapping.protection)
            } else {
                unsafe _ = try? mapNothing(at: address, Int(mapping.byteCount), mapping.protection)
            }
            mapping.isZapped = !isReachable
        }
    }
}
