internal import CVFIOMock
internal import Glibc
import SystemPackage
import VFIO

/// The process's mappings and its pinned memory, as Linux's `struct mm_struct`.
final class ProcessMappings {
    private let core: Core
    /// In the order of their addresses.
    private var mappings: [CPUMapping] = []
    /// The mappings of each device's BARs.
    private var barMappings: [ObjectIdentifier: [ObjectIdentifier: CPUMapping]] = [:]
    /// An empty file: an access to a mapping of it is `SIGBUS`.
    private var emptyFile: Int32 = -1
    /// The limit on locked memory in bytes.
    var lockLimit: UInt64?
    private(set) var lockedByteCount: UInt64 = 0
    /// The memory of the machine in bytes.
    var memoryByteCount = 4 << 30
    /// The numbers of huge pages by their size in bytes.
    var hugePages = [2 << 20: 16, 1 << 30: 0]
    /// The memory that devices can reach, also after `munmap`.
    var pinnedSegments: () -> [PinnedMemory.Segment] = { [] }

    init(_ core: Core) { self.core = core }

    deinit { if emptyFile >= 0 { _ = Glibc.close(emptyFile) } }

    /// Drops all mappings, as at the end of the process.
    func exit() { forget(0..<UInt64.max) }

    // MARK: Pinning

    /// Counts memory as locked. `ENOMEM` beyond the limit.
    func lock(_ byteCount: UInt64) throws(Errno) {
        if let lockLimit, lockedByteCount + byteCount > lockLimit { throw .noMemory }
        lockedByteCount += byteCount
    }

    func unlock(_ byteCount: UInt64) { lockedByteCount -= byteCount }

    /// Finds the pages of a range of the process's memory, as `pin_user_pages`.
    ///
    /// - Parameter allowsBARs: Whether a BAR's mapping is accepted, as by type1; iommufd refuses it.
    /// - Throws: `EFAULT`.
    func pin(_ address: UInt64, _ byteCount: UInt64, writable: Bool, allowsBARs: Bool) throws(Errno) -> PinnedMemory {
        var pinned = PinnedMemory()
        let (end, wraps) = address.addingReportingOverflow(byteCount)
        if wraps { throw .badAddress }
        var next = address
        var index = firstMapping(endingAfter: address)
        while next < end {
            if index < mappings.count, mappings[index].address <= next {
                let mapping = mappings[index]
                let shift = next - mapping.address
                let count = min(end, mapping.end) - next
                let needed = writable ? PROT_READ | PROT_WRITE : PROT_READ
                guard mapping.protection & needed == needed else { throw .badAddress }
                switch mapping.source {
                case .memory(let object, let offset): pinned.append(.object(object, offset + Int(shift)), count)
                case .bar(let target, let bar, let offset):
                    guard allowsBARs, !mapping.isZapped else { throw .badAddress }
                    pinned.append(.bar(target, bar, UInt64(offset) + shift), count)
                }
                next += count
                index += 1
            } else {
                let stop = index < mappings.count ? min(end, mappings[index].address) : end
                guard UserMemory.isMapped(next, stop - next, writable: writable) else { throw .badAddress }
                pinned.append(.process(next), stop - next)
                next = stop
            }
        }
        return pinned
    }

    /// The index of the first mapping that ends after an address.
    private func firstMapping(endingAfter address: UInt64) -> Int {
        mappings.partitionIndex(after: { $0.end <= address })
    }

    /// The mapping that holds a whole range.
    func mapping(holding address: UInt64, _ byteCount: UInt64) -> CPUMapping? {
        let index = firstMapping(endingAfter: address)
        guard index < mappings.count else { return nil }
        let mapping = mappings[index]
        return mapping.address <= address && address + byteCount <= mapping.end ? mapping : nil
    }

    // MARK: Mapping

    static func protection(_ request: MemoryMapRequest) -> Int32 {
        (request.isReadable ? PROT_READ : PROT_NONE) | (request.isWritable ? PROT_WRITE : PROT_NONE)
    }

    /// Maps anonymous memory. Huge pages are ordinary pages with the alignment of huge ones.
    func mapMemory(_ request: MemoryMapRequest, hugePageSize: Int?) throws(Errno) -> UnsafeMutableRawPointer {
        let wanted = request.byteCount
        // Linux takes the size as unsigned.
        if wanted == 0 { throw .invalidArgument }
        let pageSize = hugePageSize ?? core.host.pageSize
        let (padded, isTooLarge) = wanted.addingReportingOverflow(pageSize - 1)
        let byteCount = padded & ~(pageSize - 1)
        if let hugePageSize {
            guard let count = hugePages[hugePageSize], wanted > 0 else { throw .invalidArgument }
            if isTooLarge || byteCount / hugePageSize > count - usedHugePages(hugePageSize) { throw .noMemory }
        } else if isTooLarge || wanted < 0 || byteCount > memoryByteCount && (request.isReadable || request.isWritable)
        {
            // Addresses without access take no memory.
            throw .noMemory
        }
        let object = try MemoryObject(
            name: "vfio-mock-memory", byteCount: byteCount, hugePageSize: hugePageSize)
        var target = try unsafe reserve(request, byteCount, pageSize)
        if hugePageSize != nil, unsafe target == nil { unsafe target = try reserve(byteCount, alignment: pageSize) }
        let protection = Self.protection(request)
        let address: UnsafeMutableRawPointer
        do throws(Errno) {
            unsafe address = try object.map(at: target, offset: 0, byteCount: byteCount, protection: protection)
        } catch {
            if let target = unsafe target { unsafe _ = munmap(target, byteCount) }
            throw error
        }
        object.closeFile()
        unsafe remember(address, byteCount, .memory(object, 0), protection, nil)
        return unsafe address
    }

    /// Reserves the address of a request (`MAP_FIXED_NOREPLACE`); `nil` without one.
    private func reserve(_ request: MemoryMapRequest, _ byteCount: Int, _ pageSize: Int) throws(Errno)
        -> UnsafeMutableRawPointer?
    {
        guard let address = request.fixedAddress else { return nil }
        guard address.isAligned(to: UInt(pageSize)) else { throw .invalidArgument }
        return unsafe try core.host.map(
            MemoryMapRequest(
                byteCount: byteCount, source: .anonymous(hugePageSize: nil), isReadable: false, isWritable: false,
                fixedAddress: address))
    }

    /// The number of huge pages that the process maps or a device can reach. Counted on demand, so that no release can
    /// be missed.
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
        for mapping in mappings {
            if case .memory(let object, let offset) = mapping.source { add(object, offset, mapping.byteCount) }
        }
        for segment in pinnedSegments() {
            if case .object(let object, let offset) = segment.backing { add(object, offset, segment.byteCount) }
        }
        return pages.count
    }

    /// Reserves aligned addresses: maps more and unmaps the surplus.
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

    /// Maps part of a BAR. The mapping holds the file.
    func mapBAR(
        _ memory: MemoryObject, of device: any BusTarget, _ bar: Int, from start: Int, _ byteCount: Int,
        _ request: MemoryMapRequest, isReachable: Bool, file: OpenFile
    ) throws(Errno) -> UnsafeMutableRawPointer {
        let protection = Self.protection(request)
        let target = try unsafe reserve(request, byteCount, core.host.pageSize)
        let address: UnsafeMutableRawPointer
        if isReachable {
            unsafe address = try memory.map(at: target, offset: start, byteCount: byteCount, protection: protection)
        } else {
            unsafe address = try mapNothing(at: target, byteCount, protection)
        }
        let mapping = unsafe remember(address, byteCount, .bar(device, bar, start), protection, file)
        mapping.isZapped = !isReachable
        return unsafe address
    }

    /// Maps a file of the host, which the mock does not know of.
    func mapHostFile(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        let address = unsafe try core.host.map(request)
        let start = UInt64(UInt(bitPattern: address))
        forget(start..<start + UInt64(request.byteCount))
        return unsafe address
    }

    private func mapNothing(
        at address: UnsafeMutableRawPointer?, _ byteCount: Int, _ protection: Int32
    ) throws(Errno) -> UnsafeMutableRawPointer {
        if emptyFile < 0 { emptyFile = unsafe "vfio-mock-zapped".withCString { unsafe cmock_memory_file($0, 0) } }
        guard emptyFile >= 0 else { throw Errno(rawValue: -emptyFile) }
        let flags = unsafe MAP_SHARED | (address == nil ? 0 : Int32(MAP_FIXED))
        let mapped = unsafe mmap(address, byteCount, protection, flags, emptyFile, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { throw Errno(rawValue: Glibc.errno) }
        return unsafe mapped
    }

    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        let start = UInt64(UInt(bitPattern: memory.baseAddress))
        let page = UInt64(core.host.pageSize)
        let (end, wraps) = start.addingReportingOverflow(
            (UInt64(memory.count) + page - 1) & ~(page - 1))
        if wraps { throw .invalidArgument }
        if splitsHugePage(at: start) || splitsHugePage(at: end) { throw .invalidArgument }
        try unsafe core.host.unmap(memory)
        forget(start..<end)
    }

    /// Whether an address lies inside a huge page, which Linux does not split.
    private func splitsHugePage(at address: UInt64) -> Bool {
        let index = firstMapping(endingAfter: address)
        guard index < mappings.count, mappings[index].address < address,
            case .memory(let object, let offset) = mappings[index].source, let size = object.hugePageSize
        else { return false }
        return (UInt64(offset) + address - mappings[index].address) % UInt64(size) != 0
    }

    // MARK: What is mapped

    @discardableResult private func remember(
        _ address: UnsafeMutableRawPointer, _ byteCount: Int, _ source: CPUMapping.Source, _ protection: Int32,
        _ file: OpenFile?
    ) -> CPUMapping {
        let mapping = CPUMapping(
            address: UInt64(UInt(bitPattern: address)), byteCount: UInt64(byteCount), source: source,
            protection: protection, file: file)
        forget(mapping.address..<mapping.end)
        mapping.file?.hold()
        note(mapping, true)
        mappings.insert(mapping, at: firstMapping(endingAfter: mapping.address))
        return mapping
    }

    private func note(_ mapping: CPUMapping, _ isThere: Bool) {
        guard case .bar(let target, _, _) = mapping.source else { return }
        barMappings[ObjectIdentifier(target), default: [:]][ObjectIdentifier(mapping)] = isThere ? mapping : nil
    }

    /// Removes a range from the mappings; mappings that extend beyond it keep the rest.
    private func forget(_ range: Range<UInt64>) {
        let first = firstMapping(endingAfter: range.lowerBound)
        var end = first
        while end < mappings.count, mappings[end].address < range.upperBound { end += 1 }
        guard first < end else { return }
        let touched = Array(mappings[first..<end])
        let rest = touched.flatMap {
            [$0.part(0..<range.lowerBound), $0.part(range.upperBound..<UInt64.max)].compactMap(\.self)
        }
        mappings.replaceSubrange(first..<end, with: rest)
        for mapping in rest {
            mapping.file?.hold()
            note(mapping, true)
        }
        for mapping in touched {
            note(mapping, false)
            mapping.file?.release()
        }
    }

    /// Updates a device's BAR mappings: an access is SIGBUS while memory decode is off or power is low.
    func updateMappings(of target: any BusTarget, _ memory: [Int: MemoryObject], isReachable: Bool) {
        for mapping in barMappings[ObjectIdentifier(target), default: [:]].values {
            guard case .bar(_, let bar, let offset) = mapping.source, mapping.isZapped == isReachable,
                let memory = memory[bar]
            else { continue }
            let address = unsafe UnsafeMutableRawPointer(bitPattern: UInt(mapping.address))
            // The addresses are taken already, so no failure is expected, and none could be handled.
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
