internal import SystemPackage

extension AddressSpace {
    /// Allocates memory of this process and maps it, so that the CPU and the address space's devices share it.
    /// The corresponding requests are `VFIO_IOMMU_MAP_DMA` and `IOMMU_IOAS_MAP`.
    ///
    /// The memory is zeroed, and page-aligned at both ends. It is unmapped and freed when the buffer is closed or
    /// deinitialized.
    ///
    /// - Parameters:
    ///   - byteCount: The size in bytes, rounded up to whole pages. Greater than 0.
    ///   - pages: The page size; huge pages must be reserved on the machine (`vm.nr_hugepages`).
    ///   - access: The access that the devices get.
    ///   - placement: The placement in the address space.
    /// - Throws: `.noSpace` without a free IOVA range or free huge pages, `.limit` if `RLIMIT_MEMLOCK` or the number of
    ///   mappings is exhausted, `.noDevice` with type1 before the first device, `.alreadyMapped`.
    public func allocate(
        byteCount: Int,
        pages: PageSize = .standard,
        access: DMAAccess = .readWrite,
        placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMABuffer {
        let operation = "allocate a DMA buffer"
        try requireIOMMU(for: operation)
        return try allocate(
            byteCount: byteCount, pages: pages, access: access, placement: placement, operation: operation)
    }

    /// Allocates memory and maps it, with or without an IOMMU.
    func allocate(
        byteCount: Int, pages: PageSize, access: DMAAccess, placement: IOVAPlacement, operation: String
    ) throws(VFIOError) -> DMABuffer {
        guard byteCount > 0 else {
            throw VFIOError(.invalidArgument, operation, "\(byteCount) bytes", hint: "a buffer has at least one byte")
        }
        // The IOMMU's page may be larger than the CPU's, and also than a huge one.
        let alignment = max(UInt64(pages.byteCount ?? kernel.pageSize), knownAlignment)
        guard let rounded = UInt64(byteCount).roundedUp(to: alignment), let length = Int(exactly: rounded) else {
            throw VFIOError(.invalidArgument, operation, "\(byteCount) bytes", hint: "the size is out of reach")
        }
        let source = MemoryMapRequest.Source.anonymous(hugePageSize: pages.byteCount)
        let base: UnsafeMutableRawPointer
        do throws(Errno) {
            unsafe base = try kernel.map(
                MemoryMapRequest(byteCount: length, source: source), alignedTo: [knownAlignment])
        } catch {
            throw VFIOError(
                error == .noMemory ? .noSpace : .kernel, operation, "\(length) bytes", errno: error,
                hint: pages == .standard
                    ? "the process has no room for as much memory"
                    : "too few huge pages of this size are free; see vm.nr_hugepages and /sys/kernel/mm/hugepages"
            )
        }
        let memory = unsafe UnsafeMutableRawBufferPointer(start: base, count: length)
        do throws(VFIOError) {
            let iova = try unsafe mapMemory(
                UnsafeRawBufferPointer(memory), access: access, placement: placement, alignment: alignment,
                operation: operation
            ) {
                // Before Linux 6.2 a page that was never written is pinned for reading as the shared zero page. The
                // CPU's first write would then go to a new page that no device sees. So write to each page first.
                for offset in stride(from: 0, to: length, by: pages.byteCount ?? kernel.pageSize) {
                    unsafe memory.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
                }
            }
            return unsafe DMABuffer(DMAAllocation(space: self, memory: memory, iova: iova))
        } catch {
            try? unsafe kernel.unmap(memory)
            throw error
        }
    }

    /// Maps memory that the caller owns, such as the memory of a virtual machine.
    /// The corresponding requests are `VFIO_IOMMU_MAP_DMA` and `IOMMU_IOAS_MAP`.
    ///
    /// The devices can access the memory until the mapping is closed or deinitialized. The pages stay pinned even if
    /// the caller unmaps them meanwhile: then the devices and the process no longer see the same memory. That is why
    /// this is unsafe.
    ///
    /// Before Linux 6.2 the same happens to private memory that was never written, if it is mapped for reading only:
    /// write to each page first.
    ///
    /// - Parameters:
    ///   - memory: Page-aligned at both ends, and ordinary memory: a BAR is refused.
    ///   - access: The access that the devices get.
    ///   - placement: The placement in the address space.
    /// - Throws: `.deviceMemory` if the memory is a BAR (export it as a dma-buf and map that), `.misaligned`,
    ///   `.alreadyMapped`, `.outOfRange`, `.limit`, `.noSpace`, `.noDevice`.
    @unsafe
    public func map(
        _ memory: UnsafeMutableRawBufferPointer,
        access: DMAAccess = .readWrite,
        placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMAMapping {
        let operation = "map memory"
        try requireIOMMU(for: operation)
        return try unsafe map(memory, access: access, placement: placement, operation: operation)
    }

    /// Maps memory that the caller owns, with or without an IOMMU.
    func map(
        _ memory: UnsafeMutableRawBufferPointer, access: DMAAccess, placement: IOVAPlacement, operation: String
    ) throws(VFIOError) -> DMAMapping {
        let bytes = UnsafeRawBufferPointer(memory)
        if let owner = unsafe BARAddresses.owner(of: bytes) {
            throw VFIOError(
                .deviceMemory, operation, unsafe Self.describe(bytes),
                hint: "it is \(owner), and nothing would end the mapping with that device's; export the BAR as a "
                    + "dma-buf and map that")
        }
        let iova = try unsafe mapMemory(bytes, access: access, placement: placement, operation: operation)
        return DMAMapping(space: self, iova: iova, byteCount: UInt64(memory.count))
    }

    // MARK: -

    /// Maps memory of the process, allocated by the library or owned by the caller.
    func mapMemory(
        _ memory: UnsafeRawBufferPointer,
        access: DMAAccess,
        placement: IOVAPlacement,
        alignment: UInt64 = 1,
        operation: String,
        preparing prepare: () -> Void = {}
    ) throws(VFIOError) -> IOVA {
        let pageSize = knownAlignment
        guard memory.count > 0 else {
            throw VFIOError(.invalidArgument, operation, "0 bytes", hint: "a mapping has at least one page")
        }
        guard UInt64(UInt(bitPattern: memory.baseAddress)).isAligned(to: pageSize),
            UInt64(memory.count).isAligned(to: pageSize)
        else {
            throw VFIOError(
                .misaligned, operation, unsafe Self.describe(memory),
                hint: "address and length have to be multiples of \(pageSize)")
        }
        return try place(
            byteCount: UInt64(memory.count), access: access, placement: placement, alignment: alignment,
            preferred: Self.hugeAlignments(
                of: UInt64(memory.count), at: UInt64(UInt(bitPattern: memory.baseAddress))),
            operation: operation
        ) { (iova) throws(Errno) in
            prepare()
            try unsafe backend.map(memory, at: iova.rawValue, access: access)
        }
    }

    /// Reserves an IOVA range, makes `request`, and converts a failure to an error, with the caller's refusals first.
    func place(
        byteCount: UInt64,
        access: DMAAccess,
        placement: IOVAPlacement,
        alignment: UInt64,
        preferred: [UInt64] = [],
        operation: String,
        refusal: (Errno) -> VFIOError? = { _ in nil },
        request: (IOVA) throws(Errno) -> Void
    ) throws(VFIOError) -> IOVA {
        guard !access.isEmpty, access.isSubset(of: .readWrite) else {
            throw VFIOError(
                .invalidArgument, operation, "access \(access)", hint: "a mapping is for reading, writing or both")
        }
        let reservation = try reserve(
            placement, byteCount: byteCount, alignment: alignment, preferred: preferred, operation: operation)
        do throws(Errno) {
            try request(reservation.iova)
        } catch {
            cancel(reservation)
            throw refusal(error) ?? describe(error, byteCount: byteCount, at: reservation.iova, operation: operation)
        }
        confirm(reservation, byteCount: byteCount)
        return reservation.iova
    }

    /// Returns the huge page sizes that fit into memory at the alignment of its start, the largest first.
    ///
    /// An IOVA that is a multiple of one lets the IOMMU use one entry for 2 MiB or 1 GiB instead of one for each 4 KiB.
    ///
    /// - Parameter start: The address of the memory, or its offset in what is itself aligned: a BAR, a file.
    static func hugeAlignments(of byteCount: UInt64, at start: UInt64) -> [UInt64] {
        guard byteCount >= 1 << 21 else { return [] }
        return [1 << 30, 1 << 21].filter { byteCount >= $0 && start.isAligned(to: $0) }
    }

    private func describe(_ errno: Errno, byteCount: UInt64, at iova: IOVA, operation: String) -> VFIOError {
        let last = IOVA(iova.rawValue + (byteCount - 1))
        // A switch, so that the limit is read only if it is exhausted.
        let (code, hint): Refusal =
            switch errno {
            case .fileExists, .addressInUse:
                (
                    .alreadyMapped,
                    mapping(overlapping: iova.rawValue...last.rawValue).map {
                        "\($0.lowerBound)...\($0.upperBound) is mapped already"
                    }
                )
            case .noMemory: (.limit, Diagnosis(kernel: kernel).memoryLock(wanted: byteCount))
            case .noSpace:
                (
                    .limit,
                    "the container's number of mappings is exhausted (module parameter dma_entry_limit of "
                        + "vfio_iommu_type1)"
                )
            case .badAddress: (.kernel, "the process has no memory there that can be pinned; a BAR's never can")
            default: (.kernel, nil)
            }
        return VFIOError(
            code, "\(operation) (\(backend.mapRequest))", "IOVA \(iova)...\(last)", errno: errno, hint: hint)
    }

    /// Unmaps a whole mapping and frees its IOVA range.
    ///
    /// After an error the range stays reserved, since a device may still access it.
    func unmap(_ iova: IOVA, byteCount: UInt64, operation: String) throws(VFIOError) {
        try unmapKeepingAddresses(iova, byteCount: byteCount, operation: operation)
        releaseAddresses(at: iova)
    }

    /// Unmaps a whole mapping and keeps its IOVA range reserved.
    func unmapKeepingAddresses(_ iova: IOVA, byteCount: UInt64, operation: String) throws(VFIOError) {
        // Build the error's text only on failure: it would take longer than the rest of the call.
        func failure(_ code: VFIOError.Code, errno: Errno? = nil, hint: String? = nil) -> VFIOError {
            VFIOError(
                code, "\(operation) (\(backend.unmapRequest))",
                "IOVA \(iova)...\(IOVA(iova.rawValue + (byteCount - 1)))", errno: errno, hint: hint)
        }
        let unmapped: UInt64
        do throws(Errno) {
            unmapped = try backend.unmap(iova.rawValue, byteCount: byteCount)
        } catch {
            throw failure(.kernel, errno: error)
        }
        guard unmapped == byteCount else {
            throw failure(.unexpectedAnswer, hint: "\(unmapped) bytes were unmapped instead of \(byteCount)")
        }
    }

    static func describe(_ memory: UnsafeRawBufferPointer) -> String {
        "\(memory.count) bytes at address \(UInt(bitPattern: memory.baseAddress).hexadecimal)"
    }
}
