internal import CVFIO
internal import SystemPackage

/// The interrupts of one kind of a device. The corresponding request is `VFIO_DEVICE_GET_IRQ_INFO`.
///
/// ```swift
/// let done = try device.interrupts(.msi).enable()
/// // … start the device
/// try done.wait()
/// ```
///
/// It keeps the device open for as long as it lives.
///
/// Interrupts stay on through a reset of the device (``Device/reset()``, FLR, hot reset): the kernel saves and restores
/// what the device needs for them, and they keep their events.
public struct Interrupts: Sendable {
    private let lease: DeviceLease
    private var core: DeviceCore { lease.core }
    /// The kind.
    public let index: InterruptIndex
    /// How many the device has; 0 when it has none of the kind.
    public let count: Int
    /// Whether single vectors can be masked.
    public let isMaskable: Bool
    /// Whether the kernel masks a vector when it fires, so that it has to be unmasked after each interrupt.
    public let isAutomasked: Bool
    /// Whether the number of vectors that are on cannot grow without a moment in which all of them are off
    /// (`VFIO_IRQ_INFO_NORESIZE`); in that moment interrupts are lost.
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

    /// PCI has 2048 at most, and room is left for other buses.
    private static let mostVectors = 1 << 16

    /// Switches one vector on, with an eventfd. The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// - Parameter vector: Which one, below ``count``.
    /// - Throws: `.notFound` for a vector that the device lacks, `.busy` when the vector is on already or interrupts of
    ///   another kind are.
    public func enable(vector: Int = 0) throws(VFIOError) -> InterruptVector {
        let operation = ABI.Call.setIRQs.operation("enable vector \(vector)")
        return InterruptVector(try enable([vector], operation)[0])
    }

    /// Switches several vectors on, in one call where the kernel can, with an eventfd for each.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// ```swift
    /// let queues = try device.interrupts(.msix).enable(vectors: 1...8)
    /// try queues.wait(3)
    /// ```
    /// All of them are on then, or none. Those in between that are not asked for stay as they are.
    ///
    /// - Parameter vectors: Which ones, in any order, each below ``count``.
    /// - Throws: `.notFound` for a vector that the device lacks, `.invalidArgument` for one that is named twice and for none
    ///   at all, `.busy` when one is on already or interrupts of another kind are, `.limit` when the host has fewer left.
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
            index, vectors.map(UInt32.init), isFixedSize: isFixedSize, isMaskable: isMaskable, of: core,
            operation: operation)
    }
}

extension Device {
    /// The interrupts of one kind. The corresponding request is `VFIO_DEVICE_GET_IRQ_INFO`.
    ///
    /// - Throws: `.notFound` for a kind that the device does not know of.
    public func interrupts(_ index: InterruptIndex) throws(VFIOError) -> Interrupts {
        try Interrupts(index, of: core)
    }
}
