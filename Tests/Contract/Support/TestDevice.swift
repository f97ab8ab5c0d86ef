@testable import VFIO
@testable import VFIOPassthrough

/// A device that a kernel built for tests makes up in an iommufd, behind an IOMMU that nests, tracks dirty pages and has page
/// faults (`IOMMU_TEST_CMD`). It is no VFIO device: what the library does with an iommufd's number of a device holds for it.
final class TestDevice: Sendable {
    struct Flags: OptionSet, Sendable {
        let rawValue: UInt32
        static let noDirtyTracking = Flags(rawValue: 1 << 0)
        static let pasid = Flags(rawValue: 1 << 2)
    }

    // What the made-up IOMMU is asked for, beside the kernel's own types.
    static let virtualIOMMU: UInt32 = 0xdead_beef
    static let nestedData: UInt32 = 0xdead
    static let invalidation: UInt32 = 0xdead_beef
    static let wrongInvalidation: UInt32 = 0xdad_beef
    static let events = VirtualEventQueue.Kind.other(type: 0xbeef_beef, byteCount: 4)
    static let queue = HardwareQueue.Kind.other(type: 0xdead_beef)
    /// What an IOMMU's and a device's caches hold at first.
    static let firstTLB: UInt32 = 0xbad_beef
    static let firstCache: UInt32 = 0xba_ddad
    /// The first address that its page tables have.
    static let firstIOVA = IOVA(1 << 24)

    /// The first word is what the page table's cache is filled with.
    static let nested = GuestTranslation.other(type: nestedData, data: words([firstTLB, 0]))

    private let kernel: any Kernel
    private let descriptor: FileDescriptor
    /// The object that makes it up.
    let number: UInt32
    /// The device as the iommufd has it.
    let bound: BoundDevice

    /// Makes a device and attaches it.
    ///
    /// - Parameter table: The number of a page table; `nil` for the address space.
    init(in space: AddressSpace, _ flags: Flags = [], at table: UInt32? = nil) throws {
        let context = try space.requireIOMMUFD(for: "test")
        kernel = context.kernel
        descriptor = context.descriptor
        let request = Self.request(.makeDevice, table ?? context.ioas)
        request.store(flags.rawValue, at: 28)
        _ = try context.kernel.control(context.descriptor, Self.command, with: request)
        number = request.load(at: 16) ?? 0
        bound = BoundDevice(request.load(at: 24) ?? 0, in: space, context.file, name: "the made-up device")
        try space.refresh()
    }

    /// Words as the kernel's structures have them.
    static func words(_ words: [UInt32]) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    // MARK: Requests

    private static let command: UInt = 0x3ba0

    private enum Operation: UInt32 {
        case replace = 10
        case makeDevice = 12
        case dirty = 13
        case checkTLB = 14
        case fault = 15
        case checkCache = 16
        case event = 17
        case attachPASID = 18
        case replacePASID = 19
        case detachPASID = 20
        case checkPASID = 21
    }

    private static func request(_ operation: Operation, _ id: UInt32) -> RequestBuffer {
        let buffer = RequestBuffer(byteCount: 72)
        buffer.store(UInt32(72), at: 0)
        buffer.store(operation.rawValue, at: 4)
        buffer.store(id, at: 8)
        return buffer
    }

    /// A request whose arguments are words.
    private func ask(_ operation: Operation, _ id: UInt32, _ words: UInt32...) throws(Errno) {
        let request = Self.request(operation, id)
        for (index, word) in words.enumerated() { request.store(word, at: 16 + index * 4) }
        _ = try kernel.control(descriptor, Self.command, with: request)
    }

    /// What a kernel that makes up no devices says to it.
    static func refusal(of space: AddressSpace) throws -> Errno? {
        let context = try space.requireIOMMUFD(for: "test")
        do throws(Errno) {
            _ = try context.kernel.control(context.descriptor, command, with: request(.makeDevice, context.ioas))
            return nil
        } catch { return error }
    }

    // MARK: The device

    /// Attaches it to another page table, or to an address space.
    func attach(to table: UInt32) throws(Errno) { try ask(.replace, number, table) }

    /// Asks for a page, as a device with PRI does.
    func requestPage(
        at iova: IOVA, _ access: FaultQueue.Fault.Access, pasid: UInt32 = 0, group: UInt32 = 1
    ) throws(Errno) {
        try ask(
            .fault, 0, bound.id, pasid, group, access.rawValue, UInt32(truncatingIfNeeded: iova.rawValue),
            UInt32(truncatingIfNeeded: iova.rawValue >> 32))
    }

    /// Has its IOMMU report an event.
    func raiseEvent() throws(Errno) { try ask(.event, 0, bound.id) }

    /// Whether an entry of its own cache has a value.
    func cache(_ index: UInt32, is value: UInt32) throws(Errno) -> Bool {
        try isTrue { () throws(Errno) in try ask(.checkCache, bound.id, index, value) }
    }

    /// Whether an entry of a nested page table's cache has a value.
    func tlb(_ index: UInt32, of table: UInt32, is value: UInt32) throws(Errno) -> Bool {
        try isTrue { () throws(Errno) in try ask(.checkTLB, table, index, value) }
    }

    func attach(_ pasid: UInt32, to table: UInt32) throws(Errno) { try ask(.attachPASID, number, pasid, table) }

    func replace(_ pasid: UInt32, by table: UInt32) throws(Errno) { try ask(.replacePASID, number, pasid, table) }

    func detach(_ pasid: UInt32) throws(Errno) { try ask(.detachPASID, number, pasid) }

    /// Whether a PASID is attached to a page table; 0 for whether to none.
    func pasid(_ pasid: UInt32, isAt table: UInt32) throws(Errno) -> Bool {
        try isTrue { () throws(Errno) in try ask(.checkPASID, number, pasid, table) }
    }

    private func isTrue(_ body: () throws(Errno) -> Void) throws(Errno) -> Bool {
        do throws(Errno) {
            try body()
            return true
        } catch .invalidArgument { return false }
    }

    /// Marks pages of a page table as written.
    func write(_ table: UInt32, at iova: IOVA, byteCount: UInt64, pageSize: UInt64, _ pages: [UInt64]) throws(Errno) {
        let bitmap = RequestBuffer(byteCount: pages.count * 8)
        for (index, word) in pages.enumerated() { bitmap.store(word, at: index * 8) }
        let request = Self.request(.dirty, table)
        request.store(iova.rawValue, at: 24)
        request.store(byteCount, at: 32)
        request.store(pageSize, at: 40)
        request.store(bitmap.address, at: 48)
        _ = try kernel.control(descriptor, Self.command, with: request)
    }

    /// Ends it, and with it what the kernel ends with a device.
    func destroy() throws(Errno) { try bound.file.destroy(number) }
}

extension Scenario {
    /// Runs a test with a device that the kernel makes up. Where it makes up none, the test is that it says so.
    func runWithTestDevice(
        _ flags: TestDevice.Flags = [], sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, AddressSpace, TestDevice) throws -> Void
    ) throws {
        let bench = try makeBench(sourceLocation: sourceLocation)
        let space = try bench.makeSpace()
        guard usesIOMMUFD else {
            expectRefusal(.unsupported, nil, sourceLocation: sourceLocation) {
                _ = try space.requireIOMMUFD(for: "test")
            }
            return
        }
        guard bench.machine.makesUpDevices else {
            #expect(try TestDevice.refusal(of: space) == .inappropriateIOCTLForDevice, sourceLocation: sourceLocation)
            return
        }
        let device = try TestDevice(in: space, flags)
        try body(bench, space, device)
    }
}
