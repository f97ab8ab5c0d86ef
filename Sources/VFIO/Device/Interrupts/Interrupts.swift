internal import CVFIO
internal import SystemPackage

/// The interrupts of one type of a device. The corresponding request is `VFIO_DEVICE_GET_IRQ_INFO`.
///
/// ```swift
/// let done = try device.interrupts(.msi).enable()
/// // … start the device
/// try done.wait()
/// ```
///
/// This value keeps the device open.
///
/// Interrupts stay on through a reset of the device (``Device/reset()``, FLR, hot reset): the kernel saves and restores
/// their device state, and they keep their events.
public struct Interrupts: Sendable {
    private let lease: DeviceLease
    private var core: DeviceCore { lease.core }
    /// The interrupt type.
    public let index: InterruptIndex
    /// The number of vectors of the device; 0 if it lacks the type.
    public let count: Int
    /// Whether single vectors can be masked.
    public let isMaskable: Bool
    /// Whether the kernel masks a vector when it fires, so that it must be unmasked after each interrupt.
    public let isAutomasked: Bool
    /// Whether the number of vectors cannot grow without all of them being off for a moment, in which interrupts are
    /// lost (`VFIO_IRQ_INFO_NORESIZE`).
    public let isFixedSize: Bool

    init(_ index: InterruptIndex, of core: DeviceCore) throws(VFIOError) {
        let words = "ask for the interrupts"
        let operation = ABI.Call.getIRQInfo.operation(words)
        let subject = "\(index) of \(core.address)"
        guard index.rawValue < core.info.interruptCount else {
            throw VFIOError(
                .notFound, operation, subject,
                hint: "the device has the interrupt indices 0 to \(Int(core.info.interruptCount) - 1)")
        }
        let info = try ABI.getIRQInfo(index.rawValue).perform(
            on: core, words, subject,
            refusals: [.invalidArgument: (.notFound, "the device has no interrupts of this kind")])
        guard info.count <= Self.mostVectors else {
            throw VFIOError(
                .unexpectedAnswer, operation, subject, hint: "the kernel speaks of \(info.count) vectors")
        }
        self.lease = DeviceLease(core, for: .interrupts(index))
        self.index = index
        self.count = Int(info.count)
        self.isMaskable = info.flags & CVFIO_IRQ_INFO_MASKABLE != 0
        self.isAutomasked = info.flags & CVFIO_IRQ_INFO_AUTOMASKED != 0
        self.isFixedSize = info.flags & CVFIO_IRQ_INFO_NORESIZE != 0
    }

    /// PCI has at most 2048; the limit leaves room for other buses.
    private static let mostVectors = 1 << 16

    /// Switches one vector on, with an eventfd. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Parameter vector: The vector, below ``count``.
    /// - Throws: `.notFound` for a vector that the device lacks, `.busy` if the vector or an interrupt of another type
    ///   is on already.
    public func enable(vector: Int = 0) throws(VFIOError) -> InterruptVector {
        let operation = ABI.Call.setIRQs.operation("enable vector \(vector)")
        return InterruptVector(try enable([vector], operation)[0])
    }

    /// Switches several vectors on with an eventfd for each, in one call if the kernel can.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// ```swift
    /// let queues = try device.interrupts(.msix).enable(vectors: 1...8)
    /// try queues.wait(3)
    /// ```
    /// On failure none of them is on. Vectors between them that are not listed keep their state.
    ///
    /// - Parameter vectors: The vectors in any order, each below ``count``.
    /// - Throws: `.notFound` for a vector that the device lacks, `.invalidArgument` for a repeated vector or an empty
    ///   list, `.busy` if one of them or an interrupt of another type is on already, `.limit` if the host has fewer
    ///   left.
    public func enable(vectors: some Sequence<Int>) throws(VFIOError) -> InterruptVectors {
        let vectors = Array(vectors)
        let operation = ABI.Call.setIRQs.operation("enable \(vectors.count) vectors")
        guard !vectors.isEmpty, Set(vectors).count == vectors.count else {
            throw VFIOError(
                .invalidArgument, operation, "\(index) of \(core.address)",
                hint: vectors.isEmpty ? "at least one vector has to be given" : "a vector is named twice")
        }
        return InterruptVectors(index, try enable(vectors, operation))
    }

    private func enable(_ vectors: [Int], _ operation: String) throws(VFIOError) -> [InterruptLine] {
        for vector in vectors where vector < 0 || vector >= count {
            throw VFIOError(
                .notFound, operation, "\(index) of \(core.address)",
                hint: count == 0
                    ? "the device has no interrupts of this kind" : "it has \(count) vectors, and none \(vector)")
        }
        return try InterruptLine.enable(
            index, vectors.map(UInt32.init), limit: isFixedSize ? UInt32(count) : nil, isMaskable: isMaskable, of: core,
            operation: operation)
    }
}

extension Device {
    /// Returns the interrupts of one type. The corresponding request is `VFIO_DEVICE_GET_IRQ_INFO`.
    ///
    /// - Throws: `.notFound` for a type that the device does not know.
    public func interrupts(_ index: InterruptIndex) throws(VFIOError) -> Interrupts {
        try Interrupts(index, of: core)
    }
}
