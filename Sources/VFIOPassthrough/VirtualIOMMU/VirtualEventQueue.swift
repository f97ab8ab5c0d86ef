internal import CVFIO
public import VFIO

/// A queue of events that the hardware reports for a guest, such as faults in nested page tables (vEVENTQ).
/// The corresponding request is `IOMMU_VEVENTQ_ALLOC`.
///
/// ```swift
/// let queue = try viommu.makeEventQueue(.armSMMUv3)
/// for try await event in queue.events { … }
/// ```
public struct VirtualEventQueue: ~Copyable, Sendable {
    /// The type of the events.
    public enum Kind: Sendable, Hashable {
        /// Event records of SMMUv3.
        case armSMMUv3
        /// Errors of the virtual command queues of Tegra241.
        case tegra241CMDQV
        /// An unrecognised type: the kernel's number for it, and the size of an event in bytes.
        case other(type: UInt32, byteCount: Int)

        var type: UInt32 {
            switch self {
            case .armSMMUv3: CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3
            case .tegra241CMDQV: CIOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV
            case .other(let type, _): type
            }
        }

        /// The size of the data after an event's header, in bytes.
        var byteCount: Int {
            switch self {
            case .armSMMUv3: MemoryLayout<ciommu_vevent_arm_smmuv3>.size
            case .tegra241CMDQV: MemoryLayout<ciommu_vevent_tegra241_cmdqv>.size
            case .other(_, let byteCount): byteCount
            }
        }
    }

    /// The limit for the size of an event, in bytes, well above any known one.
    static let largestEvent = 4096

    private let source: VirtualEventSource

    init(_ source: VirtualEventSource) { self.source = source }

    /// The ID of the queue in the iommufd.
    var number: UInt32 { source.object.id }

    /// Waits for events for at most `timeout` (`nil`: no limit), and returns the pending ones.
    ///
    /// - Returns: The events; empty after a timeout.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> [VirtualEvent] {
        try source.wait(timeout: timeout)
    }

    /// Returns the pending events, at most a few dozen. Does not wait.
    public func poll() throws(VFIOError) -> [VirtualEvent] { try source.take() ?? [] }

    /// The events as a sequence, which ends when the queue is closed.
    public var events: VirtualEvents { VirtualEvents(source) }

    /// Closes the queue and throws the kernel's error. Pending events are lost.
    /// The corresponding request is `IOMMU_DESTROY`.
    public consuming func close() throws(VFIOError) { try source.close() }

    deinit { try? source.close() }
}
