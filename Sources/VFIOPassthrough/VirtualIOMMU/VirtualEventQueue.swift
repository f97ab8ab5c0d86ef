internal import CVFIO
public import VFIO

/// What the hardware reports for a guest, such as faults in the guest's page tables (vEVENTQ).
/// The corresponding request is `IOMMU_VEVENTQ_ALLOC`.
///
/// ```swift
/// let queue = try viommu.makeEventQueue(.armSMMUv3)
/// for try await event in queue.events { … }
/// ```
public struct VirtualEventQueue: ~Copyable, Sendable {
    /// What kind of events.
    public enum Kind: Sendable, Hashable {
        /// Event records of SMMUv3.
        case armSMMUv3
        /// Errors of the virtual command queues of Tegra241.
        case tegra241CMDQV
        /// One that this library has no word for: the kernel's number for it, and how many bytes an event has.
        case other(type: UInt32, byteCount: Int)

        var type: UInt32 {
            switch self {
            case .armSMMUv3: CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3
            case .tegra241CMDQV: CIOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV
            case .other(let type, _): type
            }
        }

        /// What follows the header of an event, in bytes.
        var byteCount: Int {
            switch self {
            case .armSMMUv3: MemoryLayout<ciommu_vevent_arm_smmuv3>.size
            case .tegra241CMDQV: MemoryLayout<ciommu_vevent_tegra241_cmdqv>.size
            case .other(_, let byteCount): byteCount
            }
        }
    }

    /// No event comes near this many bytes.
    static let largestEvent = 4096

    private let source: VirtualEventSource

    init(_ source: VirtualEventSource) { self.source = source }

    /// The iommufd's number for it.
    var number: UInt32 { source.object.id }

    /// Waits for events, no longer than `timeout` (`nil`: for ever), and takes those that there are then.
    ///
    /// - Returns: None when no event came in time.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> [VirtualEvent] {
        try source.wait(timeout: timeout)
    }

    /// Takes the events that there are now, some dozen at most. Does not wait.
    public func poll() throws(VFIOError) -> [VirtualEvent] { try source.take() ?? [] }

    /// The events as a sequence, which ends when the queue is closed.
    public var events: VirtualEvents { VirtualEvents(source) }

    /// Closes the queue and reports what the kernel said. Events that were not taken are gone.
    public consuming func close() throws(VFIOError) { try source.close() }

    deinit { try? source.close() }
}
