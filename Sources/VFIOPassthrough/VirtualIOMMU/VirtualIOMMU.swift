internal import CVFIO
internal import SystemPackage
public import VFIO

/// A virtual machine's part of an IOMMU (vIOMMU). The corresponding request is `IOMMU_VIOMMU_ALLOC`.
///
/// ```swift
/// let parent = try device.makePageTable(options: .nestingParent)
/// let viommu = try device.makeVirtualIOMMU(.armSMMUv3, over: parent)
/// let name = try device.makeVirtualDevice(in: viommu, number: streamNumber)
/// let nested = try device.makePageTable(in: viommu, .armSMMUv3(entry0, entry1))
/// let events = try viommu.makeEventQueue(.armSMMUv3)
/// try device.attach(to: nested)
/// ```
///
/// It keeps its parent page table open. It is not tied to the device that it was made with, only to the IOMMU: other
/// devices behind the same IOMMU may be added, and that one may be removed.
public struct VirtualIOMMU: ~Copyable, Sendable {
    /// The type of a virtual IOMMU.
    public enum Kind: Sendable, Hashable {
        /// Arm SMMUv3.
        case armSMMUv3
        /// NVIDIA's extension of it on Tegra241, with command queues that the guest writes directly.
        case tegra241CMDQV
        /// An unrecognised type: the kernel's number for it, and its data.
        case other(type: UInt32, data: [UInt8])

        var request: ABI.TypedData {
            switch self {
            case .armSMMUv3: (CIOMMU_VIOMMU_TYPE_ARM_SMMUV3, [])
            case .tegra241CMDQV:
                (CIOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, ABI.bytes([ciommu_viommu_tegra241_cmdqv()]))
            case .other(let type, let data): (type, data)
            }
        }
    }

    /// Registers that the guest may use directly: a part of the iommufd that can be mapped.
    public struct Window: Sendable, Hashable {
        /// The `mmap` offset in the iommufd, in bytes.
        public let offset: UInt64
        /// The length in bytes.
        public let byteCount: UInt64

        /// Creates a window from the values in ``VirtualIOMMU/answer``.
        public init(offset: UInt64, byteCount: UInt64) {
            self.offset = offset
            self.byteCount = byteCount
        }
    }

    let object: IOMMUFDObject
    /// The data as updated by the kernel, for ``Kind/other(type:data:)``.
    public let answer: [UInt8]
    /// The first page of the virtual interface of ``Kind/tegra241CMDQV``.
    public let window: Window?
    private let queues = HardwareQueues()

    init(_ object: IOMMUFDObject, _ kind: Kind, _ data: RequestBuffer) {
        self.object = object
        answer = data.content
        if case .tegra241CMDQV = kind {
            let info: ciommu_viommu_tegra241_cmdqv = data.header()
            window = Window(offset: info.out_vintf_mmap_offset, byteCount: info.out_vintf_mmap_length)
        } else {
            window = nil
        }
    }

    /// Invalidates the hardware's caches for the guest. The corresponding request is `IOMMU_HWPT_INVALIDATE`.
    ///
    /// - Throws: The number of entries that were handled, and the error of the next one: `.unsupported` for entries
    ///   that this IOMMU does not accept.
    public func invalidate(_ entries: IOMMUInvalidation) throws(InvalidationFailure) {
        try entries.perform(on: object, "the virtual IOMMU")
    }

    /// Creates a queue for events that the hardware reports for the guest. There is at most one of each type.
    /// The corresponding request is `IOMMU_VEVENTQ_ALLOC`.
    ///
    /// - Parameters:
    ///   - kind: The type of the events.
    ///   - depth: The number of events that it holds, 1 to 524288; events that arrive while it is full are lost, and
    ///     the loss is reported.
    /// - Throws: `.unsupported` before Linux 6.15, `.busy` if there is already one of the type, `.outOfRange` for the
    ///   depth.
    public func makeEventQueue(
        _ kind: VirtualEventQueue.Kind, depth: Int = 1024
    ) throws(VFIOError) -> VirtualEventQueue {
        let words = "make a queue for a guest's events"
        let operation = ABI.Call.makeEventQueue.operation(words)
        guard (1...1 << 19).contains(depth) else {
            throw VFIOError(.outOfRange, operation, "the virtual IOMMU", hint: "the depth is 1 to 524288 events")
        }
        guard (1...VirtualEventQueue.largestEvent).contains(kind.byteCount) else {
            throw VFIOError(
                .outOfRange, operation, "the virtual IOMMU",
                hint: "an event has 1 to \(VirtualEventQueue.largestEvent) bytes")
        }
        let made = try ABI.makeEventQueue(in: object.id, type: kind.type, depth: UInt32(depth)).perform(
            on: object.file, words, "the virtual IOMMU", lacking: "it needs Linux 6.15",
            refusals: [.fileExists: (.busy, "it has one of this kind")])
        let queue = IOMMUFDObject(
            made.id, "the queue of events", of: object.space, in: object.file, holding: [object])
        return VirtualEventQueue(VirtualEventSource(queue, made.descriptor, kind))
    }

    /// Lets the hardware read a queue in guest memory. The corresponding request is `IOMMU_HW_QUEUE_ALLOC`.
    ///
    /// - Parameters:
    ///   - kind: The type of the queue.
    ///   - index: Its index in the virtual IOMMU.
    ///   - iova: Its address in the parent page table: the guest physical address.
    ///   - byteCount: Its length in bytes. The memory behind it must be contiguous.
    /// - Throws: `.unsupported` before Linux 6.17 and if the hardware has no such queues, `.busy` for an index that is
    ///   in use, `.outOfRange`; `.kernel` with `EFAULT` if the memory is not contiguous, `ENOENT` if there is none.
    public func makeQueue(
        _ kind: HardwareQueue.Kind, index: UInt32, at iova: IOVA, byteCount: UInt64
    ) throws(VFIOError) -> HardwareQueue {
        let words = "make a hardware queue"
        guard byteCount > 0, !iova.rawValue.addingReportingOverflow(byteCount - 1).overflow else {
            throw VFIOError(
                .outOfRange, ABI.Call.makeHardwareQueue.operation(words), "\(byteCount) bytes at IOVA \(iova)")
        }
        let type =
            switch kind {
            case .tegra241CMDQV: CIOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV
            case .other(let type): type
            }
        let previous = queues.before(index)
        let request = ABI.makeHardwareQueue(
            in: object.id, type: type, index: index, at: iova.rawValue, byteCount: byteCount)
        let made = try request.perform(
            on: object.file, words, "the virtual IOMMU", lacking: "it needs Linux 6.17, and an IOMMU with such queues",
            refusals: [.fileExists: (.busy, "it has a queue of index \(index)")])
        let queue = IOMMUFDObject(
            made, "the hardware queue", of: object.space, in: object.file, holding: previous + [object])
        queues.insert(queue, index: index)
        return HardwareQueue(object: queue)
    }

    /// Maps registers of the virtual IOMMU for the CPU, and so for a guest.
    ///
    /// - Parameter window: As reported by the kernel (``window``).
    /// - Throws: `.misaligned`; `.kernel` with `ENXIO` unless it is exactly one window.
    public func map(_ window: Window) throws(VFIOError) -> MappedWindow { try MappedWindow(window, of: object) }

    /// Destroys the virtual IOMMU and throws the kernel's error. The corresponding request is `IOMMU_DESTROY`.
    ///
    /// - Throws: `.inUse` while an object made in it is open: the virtual IOMMU is destroyed with the last of them.
    public consuming func close() throws(VFIOError) { try object.close() }
}
