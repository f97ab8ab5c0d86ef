internal import CVFIO
internal import SystemPackage

/// The interrupts of one kind of a device (`VFIO_DEVICE_GET_IRQ_INFO`).
///
/// ```swift
/// let done = try device.interrupts(.msi).enable()
/// // … start the device
/// try done.wait()
/// ```
///
/// It keeps the device open for as long as it lives.
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
        let operation = "ask for the interrupts (VFIO_DEVICE_GET_IRQ_INFO)"
        let subject = "\(index) of \(core.address)"
        guard index.rawValue < core.info.interruptCount else {
            throw VFIOError(
                .notFound, operation, subject,
                hint: "the device has the interrupt indices 0 to \(Int(core.info.interruptCount) - 1)")
        }
        var info = cvfio_irq_info()
        info.argsz = UInt32(MemoryLayout<cvfio_irq_info>.size)
        info.index = index.rawValue
        do throws(Errno) {
            _ = try core.kernel.control(core.descriptor, CVFIO_DEVICE_GET_IRQ_INFO, with: &info)
        } catch {
            throw VFIOError(
                error == .invalidArgument ? .notFound : .kernel, operation, subject, errno: error,
                hint: error == .invalidArgument ? "the device has no interrupts of this kind" : nil)
        }
        self.lease = DeviceLease(core, for: .interrupts(index))
        self.index = index
        self.count = Int(info.count)
        self.isMaskable = info.flags & CVFIO_IRQ_INFO_MASKABLE != 0
        self.isAutomasked = info.flags & CVFIO_IRQ_INFO_AUTOMASKED != 0
        self.isFixedSize = info.flags & CVFIO_IRQ_INFO_NORESIZE != 0
    }

    /// Switches one vector on (`VFIO_DEVICE_SET_IRQS` with an eventfd).
    ///
    /// - Parameter vector: Which one, below ``count``.
    /// - Throws: `.notFound` for a vector that the device lacks, `.busy` when the vector is on already or interrupts of
    ///   another kind are.
    public func enable(vector: Int = 0) throws(VFIOError) -> InterruptVector {
        let operation = "enable vector \(vector) (VFIO_DEVICE_SET_IRQS)"
        guard vector >= 0, vector < count else {
            throw VFIOError(
                .notFound, operation, "\(index) of \(core.address)",
                hint: count == 0 ? "the device has no interrupts of this kind" : "it has \(count) vectors")
        }
        return InterruptVector(
            try InterruptLine(
                index, vector: UInt32(vector), isFixedSize: isFixedSize, isMaskable: isMaskable,
                lease: DeviceLease(core, for: .vector(UInt32(vector), index)), operation: operation))
    }
}

extension Device {
    /// The interrupts of one kind.
    ///
    /// - Throws: `.notFound` for a kind that the device does not know of.
    public func interrupts(_ index: InterruptIndex) throws(VFIOError) -> Interrupts {
        try Interrupts(index, of: core)
    }
}
