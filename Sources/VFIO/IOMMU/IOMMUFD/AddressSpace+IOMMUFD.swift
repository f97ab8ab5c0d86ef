internal import SystemPackage

extension AddressSpace {
    /// Creates another address space in the iommufd of this one, such as for a device with fewer mappings.
    /// The corresponding request is `IOMMU_IOAS_ALLOC`.
    ///
    /// Mappings can be copied between the two: the memory is pinned and accounted once.
    ///
    /// - Throws: `.unsupported` with type1.
    public func makeSibling() throws(VFIOError) -> AddressSpace {
        let context = try requireIOMMUFD(for: ABI.Call.makeIOAS.operation("make another IO address space"))
        return AddressSpace(try IOMMUFDContext(in: context.file))
    }

    /// Creates an address space of an iommufd with the given accounting of locked memory (`IOMMU_OPTION_RLIMIT_MODE`).
    /// The corresponding request is `IOMMU_OPTION`.
    ///
    /// The setting applies to the whole iommufd, and so to its siblings (``makeSibling()``) too.
    ///
    /// - Throws: `.unsupported` without iommufd, `.permissionDenied` without `CAP_SYS_RESOURCE`.
    public convenience init(
        accounting: LockedMemoryAccounting, kernel: any Kernel = HostKernel()
    ) throws(VFIOError) {
        let file = try IOMMUFDFile(kernel: kernel)
        _ = try ABI.accounting(accounting == .perProcess ? 1 : 0).perform(
            on: file, "choose the accounting of locked memory", "\(IOMMUFDFile.node)",
            refusals: [.notPermitted: (.permissionDenied, "it takes CAP_SYS_RESOURCE")])
        self.init(try IOMMUFDContext(in: file))
    }

    /// Returns the limit on locked memory that the mappings count against; with a type1 container it is the process's.
    /// The corresponding request is `IOMMU_OPTION`.
    public func lockedMemoryAccounting() throws(VFIOError) -> LockedMemoryAccounting {
        guard let context = backend as? IOMMUFDContext else { return .perProcess }
        let mode = try ABI.accounting().perform(
            on: context, "ask for the accounting of locked memory", "\(IOMMUFDFile.node)")
        return mode == 0 ? .perUser : .perProcess
    }

    /// Transfers the accounting of all memory mapped through the iommufd to this process, after another one has passed
    /// it on. The corresponding request is `IOMMU_IOAS_CHANGE_PROCESS`.
    ///
    /// - Throws: `.unsupported` with type1 and before Linux 6.14; `.invalidArgument` if something other than a file is
    ///   mapped, which cannot be transferred; `.limit` if this process may not lock as much.
    public func changeProcess() throws(VFIOError) {
        let words = "account mappings to this process"
        let context = try requireIOMMUFD(for: ABI.Call.changeProcess.operation(words))
        try ABI.changeProcess().perform(
            on: context, words, "\(IOMMUFDFile.node)", lacking: "it needs Linux 6.14",
            refusals: [
                .invalidArgument: (
                    .invalidArgument, "only mappings of files can go from process to process; something else is mapped"
                ),
                .noMemory: (.limit, "RLIMIT_MEMLOCK of this process is too small for it"),
            ])
    }

    /// Returns whether the IOMMU may use large pages if the memory allows (`IOMMU_OPTION_HUGE_PAGES`), which is the
    /// default. The corresponding request is `IOMMU_OPTION`.
    ///
    /// - Throws: `.unsupported` with type1, which does not report it.
    public func usesLargePages() throws(VFIOError) -> Bool {
        try largePages(set: nil, "ask whether large pages are used") != 0
    }

    /// Sets whether the IOMMU may use large pages; without them dirty tracking is finer.
    /// The corresponding request is `IOMMU_OPTION`.
    ///
    /// - Throws: `.unsupported` with type1; `.inUse` if large pages are to be disabled while a device is attached and
    ///   something is mapped.
    public func setUsesLargePages(_ isOn: Bool) throws(VFIOError) {
        _ = try largePages(set: isOn ? 1 : 0, "allow or forbid large pages")
        // The setting changes the alignment of mappings.
        try refresh()
    }

    private func largePages(set value: UInt64?, _ words: String) throws(VFIOError) -> UInt64 {
        let context = try requireIOMMUFD(for: ABI.Call.option.operation(words))
        return try ABI.largePages(of: context.ioas, value).perform(
            on: context, words, "the IO address space",
            refusals: [.invalidArgument: (.inUse, "pages have been mapped for a device already; choose before")])
    }

    /// Reserves ranges for mappings: a device that reserves part of one, or whose IOMMU does not cover it, is then
    /// refused instead of narrowing ``iovaRanges()``. The corresponding request is `IOMMU_IOAS_ALLOW_IOVAS`.
    ///
    /// Each call replaces the ranges of the last one; no call removes the restriction. Mappings outside of the ranges
    /// are still possible.
    ///
    /// - Parameter ranges: Disjoint and inclusive, each of at least two addresses.
    /// - Throws: `.unsupported` with type1; `.invalidArgument`; `.outOfRange` if an attached device has already
    ///   reserved part of a range.
    public func allowIOVAs(_ ranges: [ClosedRange<IOVA>]) throws(VFIOError) {
        let words = "keep IOVA ranges available"
        let context = try requireIOMMUFD(for: ABI.Call.allowIOVAs.operation(words))
        let subject = ranges.map { "\($0.lowerBound)...\($0.upperBound)" }.joined(separator: ", ")
        try ABI.allowIOVAs(context.ioas, ranges.map { $0.lowerBound.rawValue...$0.upperBound.rawValue }).perform(
            on: context, words, subject,
            refusals: [
                .invalidArgument: (
                    .invalidArgument, "the ranges have to be disjoint, each of two addresses or more"
                ),
                .addressInUse: (.outOfRange, "a device of the address space reserves part of it"),
            ])
    }
}
