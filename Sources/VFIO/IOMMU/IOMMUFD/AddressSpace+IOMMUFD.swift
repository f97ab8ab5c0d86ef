internal import SystemPackage

extension AddressSpace {
    /// Makes another address space in the iommufd of this one, such as for a device that shall not see everything.
    /// The corresponding request is `IOMMU_IOAS_ALLOC`.
    ///
    /// Between the two, mappings can be copied: the memory is pinned and accounted once.
    ///
    /// - Throws: `.unsupported` with type1.
    public func makeSibling() throws(VFIOError) -> AddressSpace {
        let context = try requireIOMMUFD(for: ABI.Call.makeIOAS.operation("make another IO address space"))
        return AddressSpace(try IOMMUFDContext(in: context.file))
    }

    /// Makes an address space of an iommufd, and says whose limit on locked memory counts (`IOMMU_OPTION_RLIMIT_MODE`).
    /// The corresponding request is `IOMMU_OPTION`.
    ///
    /// The choice is the iommufd's, and holds for its siblings (``makeSibling()``) too.
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

    /// Whose limit on locked memory the mappings count against. A type1 container's count against the process's.
    /// The corresponding request is `IOMMU_OPTION`.
    public func lockedMemoryAccounting() throws(VFIOError) -> LockedMemoryAccounting {
        guard let context = backend as? IOMMUFDContext else { return .perProcess }
        let mode = try ABI.accounting().perform(
            on: context, "ask for the accounting of locked memory", "\(IOMMUFDFile.node)")
        return mode == 0 ? .perUser : .perProcess
    }

    /// Counts the memory that is mapped through the whole iommufd to this process from now on, after the iommufd came
    /// from another one. The corresponding request is `IOMMU_IOAS_CHANGE_PROCESS`.
    ///
    /// - Throws: `.unsupported` with type1 and before Linux 6.14; `.invalidArgument` when something other than a file is
    ///   mapped, which stays with the process it belongs to; `.limit` when this process may not lock as much.
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

    /// Whether the IOMMU may use large pages where the memory allows them (`IOMMU_OPTION_HUGE_PAGES`): so by default.
    /// The corresponding request is `IOMMU_OPTION`.
    ///
    /// - Throws: `.unsupported` with type1, which does not tell.
    public func usesLargePages() throws(VFIOError) -> Bool {
        try largePages(set: nil, "ask whether large pages are used") != 0
    }

    /// Lets the IOMMU use large pages, or forbids it, as for finer dirty tracking.
    /// The corresponding request is `IOMMU_OPTION`.
    ///
    /// - Throws: `.unsupported` with type1; `.inUse` when large pages are to be forbidden while a device is attached and
    ///   something is mapped.
    public func setUsesLargePages(_ isOn: Bool) throws(VFIOError) {
        _ = try largePages(set: isOn ? 1 : 0, "allow or forbid large pages")
        // It changes the alignment of mappings.
        try refresh()
    }

    private func largePages(set value: UInt64?, _ words: String) throws(VFIOError) -> UInt64 {
        let context = try requireIOMMUFD(for: ABI.Call.option.operation(words))
        return try ABI.largePages(of: context.ioas, value).perform(
            on: context, words, "the IO address space",
            refusals: [.invalidArgument: (.inUse, "pages have been mapped for a device already; choose before")])
    }

    /// Keeps ranges free for mappings: a device that reserves part of one, or whose IOMMU does not reach all of it, is
    /// refused from now on instead of narrowing ``iovaRanges()``. The corresponding request is `IOMMU_IOAS_ALLOW_IOVAS`.
    ///
    /// Each call replaces the ranges of the last one; none lifts the restriction. Mappings outside of the ranges are
    /// possible all the same.
    ///
    /// - Parameter ranges: Disjoint, each of two addresses or more, the last included.
    /// - Throws: `.unsupported` with type1; `.invalidArgument`; `.outOfRange` when a device that is attached has already
    ///   taken part of a range.
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
