internal import CVFIO
internal import SystemPackage

extension AddressSpace {
    /// Makes another address space in the iommufd of this one, such as for a device that shall not see everything.
    ///
    /// Between the two, mappings can be copied: the memory is pinned and accounted once.
    ///
    /// - Throws: `.unsupported` with type1.
    public func makeSibling() throws(VFIOError) -> AddressSpace {
        let context = try requireIOMMUFD(for: "make another IO address space (IOMMU_IOAS_ALLOC)")
        return AddressSpace(try IOMMUFDContext(in: context.file))
    }

    /// Makes an address space of an iommufd, and says whose limit on locked memory counts (`IOMMU_OPTION_RLIMIT_MODE`).
    ///
    /// The choice is the iommufd's, and holds for its siblings (``makeSibling()``) too.
    ///
    /// - Throws: `.unsupported` without iommufd, `.permissionDenied` without `CAP_SYS_RESOURCE`.
    public convenience init(
        accounting: LockedMemoryAccounting, kernel: any Kernel = HostKernel()
    ) throws(VFIOError) {
        let file = try IOMMUFDFile(kernel: kernel)
        do throws(Errno) {
            _ = try file.option(CIOMMU_OPTION_RLIMIT_MODE, set: accounting == .perProcess ? 1 : 0)
        } catch {
            throw VFIOError(
                error == .notPermitted ? .permissionDenied : .kernel,
                "choose the accounting of locked memory (IOMMU_OPTION)", "\(IOMMUFDFile.node)", errno: error,
                hint: error == .notPermitted ? "it takes CAP_SYS_RESOURCE" : nil)
        }
        self.init(try IOMMUFDContext(in: file))
    }

    /// Whose limit on locked memory the mappings count against. A type1 container's count against the process's.
    public func lockedMemoryAccounting() throws(VFIOError) -> LockedMemoryAccounting {
        guard let context = backend as? IOMMUFDContext else { return .perProcess }
        do throws(Errno) {
            return try context.file.option(CIOMMU_OPTION_RLIMIT_MODE) == 0 ? .perUser : .perProcess
        } catch {
            throw VFIOError(
                .kernel, "ask for the accounting of locked memory (IOMMU_OPTION)", "\(IOMMUFDFile.node)", errno: error)
        }
    }

    /// Counts the memory that is mapped through the whole iommufd to this process from now on
    /// (`IOMMU_IOAS_CHANGE_PROCESS`), after the iommufd came from another one.
    ///
    /// - Throws: `.unsupported` with type1 and before Linux 6.14; `.invalidArgument` when something other than a file is
    ///   mapped, which stays with the process it belongs to; `.limit` when this process may not lock as much.
    public func accountToThisProcess() throws(VFIOError) {
        let operation = "account mappings to this process (IOMMU_IOAS_CHANGE_PROCESS)"
        let context = try requireIOMMUFD(for: operation)
        var request = ciommu_ioas_change_process()
        request.size = UInt32(MemoryLayout<ciommu_ioas_change_process>.size)
        do throws(Errno) {
            _ = try kernel.control(context.descriptor, CIOMMU_IOAS_CHANGE_PROCESS, with: &request)
        } catch {
            let subject = "\(IOMMUFDFile.node)"
            throw switch error {
            case .inappropriateIOCTLForDevice:
                VFIOError(.unsupported, operation, subject, errno: error, hint: "it needs Linux 6.14")
            case .invalidArgument:
                VFIOError(
                    .invalidArgument, operation, subject, errno: error,
                    hint: "only mappings of files can go from process to process; something else is mapped")
            case .noMemory:
                VFIOError(
                    .limit, operation, subject, errno: error, hint: "RLIMIT_MEMLOCK of this process is too small for it"
                )
            default: VFIOError(.kernel, operation, subject, errno: error)
            }
        }
    }

    /// Whether the IOMMU may use large pages where the memory allows them (`IOMMU_OPTION_HUGE_PAGES`): so by default.
    ///
    /// - Throws: `.unsupported` with type1, which does not tell.
    public func usesLargePages() throws(VFIOError) -> Bool {
        try largePages(set: nil, operation: "ask whether large pages are used (IOMMU_OPTION)") != 0
    }

    /// Lets the IOMMU use large pages, or forbids it, as for finer dirty tracking.
    ///
    /// - Throws: `.unsupported` with type1; `.inUse` when large pages are to be forbidden while a device is attached and
    ///   something is mapped.
    public func setUsesLargePages(_ isOn: Bool) throws(VFIOError) {
        _ = try largePages(set: isOn ? 1 : 0, operation: "allow or forbid large pages (IOMMU_OPTION)")
        // It changes the alignment of mappings.
        try refresh()
    }

    private func largePages(set value: UInt64?, operation: String) throws(VFIOError) -> UInt64 {
        let context = try requireIOMMUFD(for: operation)
        do throws(Errno) {
            return try context.file.option(CIOMMU_OPTION_HUGE_PAGES, of: context.ioas, set: value)
        } catch {
            throw VFIOError(
                error == .invalidArgument ? .inUse : .kernel, operation, "the IO address space", errno: error,
                hint: error == .invalidArgument ? "pages have been mapped for a device already; choose before" : nil)
        }
    }

    /// Keeps ranges free for mappings: a device that reserves part of one, or whose IOMMU does not reach all of it, is
    /// refused from now on instead of narrowing ``iovaRanges()`` (`IOMMU_IOAS_ALLOW_IOVAS`).
    ///
    /// Each call replaces the ranges of the last one; none lifts the restriction. Mappings outside of the ranges are
    /// possible all the same.
    ///
    /// - Parameter ranges: Disjoint, each of two addresses or more, the last included.
    /// - Throws: `.unsupported` with type1; `.invalidArgument`; `.outOfRange` when a device that is attached has already
    ///   taken part of a range.
    public func keepAvailable(_ ranges: [ClosedRange<IOVA>]) throws(VFIOError) {
        let operation = "keep IOVA ranges available (IOMMU_IOAS_ALLOW_IOVAS)"
        let context = try requireIOMMUFD(for: operation)
        let subject = ranges.map { "\($0.lowerBound)...\($0.upperBound)" }.joined(separator: ", ")
        let room = RequestBuffer(byteCount: max(ranges.count, 1) * MemoryLayout<ciommu_iova_range>.size)
        for (index, range) in ranges.enumerated() {
            let entry = ciommu_iova_range(start: range.lowerBound.rawValue, last: range.upperBound.rawValue)
            room.store(entry, at: index * MemoryLayout<ciommu_iova_range>.size)
        }
        var request = ciommu_ioas_allow_iovas()
        request.size = UInt32(MemoryLayout<ciommu_ioas_allow_iovas>.size)
        request.ioas_id = context.ioas
        request.num_iovas = UInt32(ranges.count)
        request.allowed_iovas = unsafe UInt64(UInt(bitPattern: room.bytes.baseAddress))
        do throws(Errno) {
            _ = try kernel.control(context.descriptor, CIOMMU_IOAS_ALLOW_IOVAS, with: &request)
        } catch {
            throw switch error {
            case .invalidArgument:
                VFIOError(
                    .invalidArgument, operation, subject, errno: error,
                    hint: "the ranges have to be disjoint, each of two addresses or more")
            case .addressInUse:
                VFIOError(
                    .outOfRange, operation, subject, errno: error,
                    hint: "a device of the address space reserves part of it")
            default: VFIOError(.kernel, operation, subject, errno: error)
            }
        }
        // The request points to it.
        withExtendedLifetime(room) {}
    }
}
