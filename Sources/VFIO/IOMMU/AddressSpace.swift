internal import Synchronization
internal import SystemPackage

/// An IO address space: the addresses that its devices use for DMA.
///
/// Devices are opened into an address space and share it; memory and dma-bufs are mapped into it. It is an IO address
/// space (IOAS) of an iommufd, or a VFIO container with the type1v2 IOMMU.
///
/// ```swift
/// let space = try AddressSpace()
/// let disk = try Device(at: "0000:00:04.0", in: space)
/// let buffer = try space.allocate(byteCount: 1 << 20)
/// ```
///
/// Everything made from an address space keeps it open; the kernel's object is closed after the last of them.
public final class AddressSpace: Sendable {
    /// The kernel interface behind an address space.
    public enum Interface: Sendable, Hashable {
        /// `/dev/iommu` and one node per device: Linux 6.6 and newer, if configured. Imports dma-bufs.
        case iommufd
        /// `/dev/vfio/vfio` and one node per IOMMU group: on all kernels. Cannot import dma-bufs.
        case type1
    }

    /// The interface that is in use.
    public let interface: Interface

    package let kernel: any Kernel
    let backend: any IOMMUBackend
    /// The devices that are open in this address space, and in those that share its iommufd.
    var devices: OpenDevices { backend.devices }
    /// The files of its devices that are registered with virtual machines.
    package var registeredFiles: RegisteredFiles { backend.registeredFiles }
    private let state: Mutex<State>
    private let refreshLock = Mutex(())

    private struct State {
        var allocator: IOVAAllocator?
        /// The CPU's page size, until the IOMMU's is known as well.
        var alignment: UInt64
    }

    /// Creates an address space of the given interface, or of the best one that the kernel has.
    /// The corresponding request is `IOMMU_IOAS_ALLOC`.
    ///
    /// By default it is iommufd if `/dev/iommu` exists and devices have their own nodes, else type1v2, whose IOMMU is
    /// set with the first device (`VFIO_SET_IOMMU`). type1 v1 is never used.
    ///
    /// - Parameters:
    ///   - interface: The interface to use; `nil` lets the library choose.
    ///   - kernel: The kernel that makes the system calls: Linux, or a mock in a test.
    /// - Throws: `.unsupported` if the kernel lacks the interface, `.permissionDenied` if the user may not open it.
    public init(_ interface: Interface? = nil, kernel: any Kernel = HostKernel()) throws(VFIOError) {
        self.kernel = kernel
        self.state = Mutex(State(alignment: UInt64(kernel.pageSize)))
        switch interface {
        case .iommufd:
            self.backend = try IOMMUFDContext(kernel: kernel)
            self.interface = .iommufd
        case .type1:
            self.backend = try Type1Container(kernel: kernel)
            self.interface = .type1
        case nil:
            if let context = try Self.iommufdIfUsable(kernel) {
                self.backend = context
                self.interface = .iommufd
            } else {
                self.backend = try Type1Container(kernel: kernel)
                self.interface = .type1
            }
        }
    }

    /// Creates an address space over an IOAS of an open iommufd.
    convenience init(_ context: IOMMUFDContext) { self.init(context, .iommufd, kernel: context.kernel) }

    init(_ backend: any IOMMUBackend, _ interface: Interface, kernel: any Kernel) {
        self.kernel = kernel
        self.state = Mutex(State(alignment: UInt64(kernel.pageSize)))
        self.backend = backend
        self.interface = interface
    }

    /// Opens an iommufd; returns `nil` if the kernel lacks it or has no device nodes for it.
    static func iommufdIfUsable(_ kernel: any Kernel) throws(VFIOError) -> IOMMUFDContext? {
        guard !Sysfs(kernel: kernel).lacksCharacterDevices() else { return nil }
        do throws(VFIOError) {
            return try IOMMUFDContext(kernel: kernel)
        } catch {
            // Fall back to type1 only if iommufd is absent: the user can fix missing permissions.
            guard error.code == .unsupported else { throw error }
            return nil
        }
    }

    /// Returns the ranges of IOVAs that can be mapped, inclusive, as the kernel reports them.
    /// The corresponding requests are `VFIO_IOMMU_GET_INFO` and `IOMMU_IOAS_IOVA_RANGES`.
    ///
    /// They shrink when a device is opened whose IOMMU has fewer address bits or more reserved ranges.
    ///
    /// - Throws: `.noDevice` with type1 before the first device.
    public func iovaRanges() throws(VFIOError) -> [ClosedRange<IOVA>] {
        try refresh()
        return state.withLock { state in
            (state.allocator?.allowed ?? []).map { IOVA($0.lowerBound)...IOVA($0.upperBound) }
        }
    }

    /// Returns the alignment in bytes of both ends of a mapping: the larger of the IOMMU's and the CPU's page size.
    /// The corresponding requests are `VFIO_IOMMU_GET_INFO` and `IOMMU_IOAS_IOVA_RANGES`.
    public func mappingAlignment() throws(VFIOError) -> UInt64 {
        try refresh()
        return state.withLock { $0.alignment }
    }

    // MARK: Devices

    func open(
        _ address: DeviceAddress, token: VFToken?, for registrar: (any FileRegistrar)?
    ) throws(VFIOError) -> OpenedDevice {
        let opened = try backend.open(address, token: token, for: registrar)
        do throws(VFIOError) {
            // The new device may have narrowed the usable IOVA ranges.
            try refresh()
        } catch {
            try? opened.close(backend: backend, subject: "\(address)")
            throw error
        }
        return opened
    }

    /// Throws if this is a container without an IOMMU, which it has from its first device on.
    package func requireFirstDevice(for operation: String) throws(VFIOError) {
        try backend.requireIOMMU(for: operation)
    }

    package func refresh() throws(VFIOError) {
        // One at a time, so that an older result does not replace a newer one.
        try refreshLock.withLock { (_) throws(VFIOError) in try refreshAlone() }
    }

    private func refreshAlone() throws(VFIOError) {
        let layout = try backend.layout()
        state.withLock { state in
            state.alignment = max(layout.alignment, UInt64(kernel.pageSize))
            if state.allocator == nil {
                state.allocator = IOVAAllocator(allowed: layout.ranges)
            } else {
                state.allocator?.update(allowed: layout.ranges)
            }
        }
    }

    // MARK: Addresses

    /// The known alignment of mappings: before the first device, the CPU's page size.
    package var knownAlignment: UInt64 { state.withLock { $0.alignment } }

    /// Finds and reserves an IOVA range for a mapping, or checks the requested one.
    ///
    /// - Parameters:
    ///   - alignment: The required alignment of the IOVA.
    ///   - preferred: Alignments to try first, the best one first.
    func reserve(
        _ placement: IOVAPlacement, byteCount: UInt64, alignment: UInt64, preferred: [UInt64] = [], operation: String
    ) throws(VFIOError) -> Reservation {
        try requireFirstDevice(for: operation)
        if state.withLock({ $0.allocator == nil }) { try refresh() }
        switch placement {
        case .fixed(let iova):
            return try check(iova, byteCount: byteCount, operation: operation)
        case .automatic:
            return try allocate(
                byteCount, alignment: alignment, preferred: preferred, highest: .max, operation: operation)
        case .addressWidth(let bits):
            guard (1...64).contains(bits) else {
                throw VFIOError(
                    .invalidArgument, operation, "\(byteCount) bytes", hint: "an address has 1 to 64 bits, not \(bits)")
            }
            let highest = bits == 64 ? UInt64.max : (1 << UInt64(bits)) - 1
            return try allocate(
                byteCount, alignment: alignment, preferred: preferred, highest: highest, operation: operation)
        }
    }

    private func allocate(
        _ byteCount: UInt64, alignment: UInt64, preferred: [UInt64], highest: UInt64, operation: String
    ) throws(VFIOError) -> Reservation {
        let first = state.withLock { state in
            let step = max(alignment, state.alignment)
            for preferred in preferred where preferred > step {
                let first = state.allocator?.allocate(byteCount: byteCount, alignment: preferred, highest: highest)
                if let first { return first as UInt64? }
            }
            return state.allocator?.allocate(byteCount: byteCount, alignment: step, highest: highest)
        }
        guard let first else {
            throw VFIOError(
                .noSpace, operation, "\(byteCount) bytes",
                hint: "no free IOVA range up to \(IOVA(highest)) is that long; allowed are \(allowedDescription)")
        }
        return Reservation(iova: IOVA(first), isHeld: true)
    }

    private func check(_ iova: IOVA, byteCount: UInt64, operation: String) throws(VFIOError) -> Reservation {
        let (last, overflow) = iova.rawValue.addingReportingOverflow(byteCount - 1)
        guard !overflow else {
            throw VFIOError(
                .outOfRange, operation, "\(byteCount) bytes at IOVA \(iova)", hint: "the range leaves the 64-bit space")
        }
        let alignment = state.withLock { $0.alignment }
        guard iova.rawValue.isAligned(to: alignment) else {
            throw VFIOError(
                .misaligned, operation, "IOVA \(iova)", hint: "the IOVA has to be a multiple of \(alignment)")
        }
        let allowed = state.withLock { $0.allocator?.allows(iova.rawValue...last) ?? false }
        guard allowed else {
            throw VFIOError(
                .outOfRange, operation, "IOVA \(iova)...\(IOVA(last))", hint: "allowed are \(allowedDescription)")
        }
        // Reserve it against other threads if it looks free. If not, let the kernel report the conflict.
        let isHeld = state.withLock { state in
            guard state.allocator?.overlap(with: iova.rawValue...last) == nil else { return false }
            state.allocator?.take(iova.rawValue...last)
            return true
        }
        return Reservation(iova: iova, isHeld: isHeld)
    }

    /// Records that the kernel has mapped a range that was not reserved before.
    func confirm(_ reservation: Reservation, byteCount: UInt64) {
        guard !reservation.isHeld else { return }
        let first = reservation.iova.rawValue
        state.withLock { $0.allocator?.take(first...(first + (byteCount - 1))) }
    }

    /// Frees a reserved range after the kernel refused the mapping.
    func cancel(_ reservation: Reservation) {
        if reservation.isHeld { releaseAddresses(at: reservation.iova) }
    }

    /// Frees the IOVA range of a mapping that no longer exists.
    func releaseAddresses(at iova: IOVA) {
        state.withLock { $0.allocator?.release(iova.rawValue) }
    }

    /// Returns the mapping of this address space that overlaps a range, for errors.
    package func mapping(overlapping range: ClosedRange<UInt64>) -> ClosedRange<IOVA>? {
        state.withLock { state in
            state.allocator?.overlap(with: range).map { IOVA($0.lowerBound)...IOVA($0.upperBound) }
        }
    }

    private var allowedDescription: String {
        let ranges = state.withLock { $0.allocator?.allowed ?? [] }
        return ranges.map { "\(IOVA($0.lowerBound))...\(IOVA($0.upperBound))" }.joined(separator: ", ")
    }

    /// An IOVA range that is about to be mapped.
    struct Reservation {
        let iova: IOVA
        /// Whether the allocator has reserved the range, so that it must be freed.
        let isHeld: Bool
    }
}
