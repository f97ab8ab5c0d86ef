package import CVFIO
package import SystemPackage

// <linux/iommufd.h>: objects and IO address spaces.
extension ABI {
    /// Returns whether an iommufd has a request, by probing it with a structure that is too short for any request.
    package static func knows(_ call: Call, _ file: borrowing some ControlledFile & ~Copyable) throws(Errno) -> Bool {
        var size = UInt32(MemoryLayout<UInt32>.size)
        do throws(Errno) {
            _ = try file.kernel.control(file.descriptor, call.number, with: &size)
        } catch .inappropriateIOCTLForDevice {
            return false
        } catch .invalidArgument {}
        return true
    }

    /// The corresponding request is `IOMMU_DESTROY`.
    package static func destroy(_ object: UInt32) -> some ABIRequest<Void> {
        Request(.destroy, ciommu_destroy(size: 0, id: object))
    }

    /// The corresponding request is `IOMMU_IOAS_ALLOC`.
    package static func makeIOAS() -> some ABIRequest<UInt32> {
        Request(.makeIOAS, ciommu_ioas_alloc()) { (ioas, _) in ioas.out_ioas_id }
    }

    /// The corresponding request is `IOMMU_IOAS_ALLOW_IOVAS`.
    package static func allowIOVAs(
        _ ioas: UInt32, _ ranges: [ClosedRange<UInt64>]
    ) -> some ABIRequest<Void> {
        let list = RequestBuffer(bytes(ranges.flatMap { [$0.lowerBound, $0.upperBound] }))
        return Request(
            .allowIOVAs,
            ciommu_ioas_allow_iovas(
                size: 0, ioas_id: ioas, num_iovas: UInt32(ranges.count), __reserved: 0, allowed_iovas: list.address),
            pointingTo: list)
    }

    /// Returns the ranges that can be mapped, and the alignment of their ends.
    /// The corresponding request is `IOMMU_IOAS_IOVA_RANGES`.
    package static func getIOVARanges(
        _ ioas: UInt32
    ) -> GrowingRequest<(ranges: [ClosedRange<UInt64>], alignment: UInt64)> {
        GrowingRequest(
            call: .getIOVARanges, firstRoom: 16, endless: "the number of ranges grew with each call"
        ) { (room, asking) throws(VFIOError) in
            let entrySize = MemoryLayout<ciommu_iova_range>.size
            let list = RequestBuffer(byteCount: room * entrySize)
            let request = RequestBuffer(
                ciommu_ioas_iova_ranges(
                    size: 0, ioas_id: ioas, num_iovas: UInt32(room), __reserved: 0, allowed_iovas: list.address,
                    out_iova_alignment: 0))
            request.store(UInt32(request.byteCount), at: 0)
            var answer: ciommu_ioas_iova_ranges { request.header() }
            do throws(Errno) {
                try asking.send(request)
            } catch .messageTooLong where answer.num_iovas > room && answer.num_iovas <= 1 << 16 {
                return .more(Int(answer.num_iovas))
            } catch {
                throw asking.failure(error)
            }
            var ranges: [ClosedRange<UInt64>] = []
            for index in 0..<Int(answer.num_iovas) {
                guard let range: ciommu_iova_range = list.load(at: index * entrySize), range.start <= range.last
                else { throw asking.nonsense("the list of ranges is broken") }
                ranges.append(range.start...range.last)
            }
            return .answer((ranges, answer.out_iova_alignment))
        }
    }

    /// Returns the flags of a mapping at a fixed IOVA with the given access.
    @inline(__always)
    private static func mapFlags(_ isReadable: Bool, _ isWritable: Bool) -> UInt32 {
        CIOMMU_IOAS_MAP_FIXED_IOVA | (isReadable ? CIOMMU_IOAS_MAP_READABLE : 0)
            | (isWritable ? CIOMMU_IOAS_MAP_WRITEABLE : 0)
    }

    /// The corresponding request is `IOMMU_IOAS_MAP`.
    @inline(__always)
    package static func mapMemory(
        _ ioas: UInt32, _ memory: UnsafeRawBufferPointer, at iova: UInt64, isReadable: Bool, isWritable: Bool
    ) -> PlainRequest<ciommu_ioas_map> {
        PlainRequest(
            .mapMemory,
            ciommu_ioas_map(
                size: 0, flags: mapFlags(isReadable, isWritable), ioas_id: ioas, __reserved: 0,
                user_va: UInt64(UInt(bitPattern: memory.baseAddress)), length: UInt64(memory.count), iova: iova))
    }

    /// The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    package static func mapFile(
        _ ioas: UInt32, _ file: FileDescriptor, from start: UInt64, byteCount: UInt64, at iova: UInt64,
        isReadable: Bool, isWritable: Bool
    ) -> some ABIRequest<Void> {
        Request(
            .mapFile,
            ciommu_ioas_map_file(
                size: 0, flags: mapFlags(isReadable, isWritable), ioas_id: ioas, fd: file.rawValue, start: start,
                length: byteCount, iova: iova))
    }

    /// The corresponding request is `IOMMU_IOAS_COPY`.
    package static func copyMapping(
        to ioas: UInt32, at iova: UInt64, from source: UInt32, _ origin: UInt64, byteCount: UInt64, isReadable: Bool,
        isWritable: Bool
    ) -> some ABIRequest<Void> {
        Request(
            .copyMapping,
            ciommu_ioas_copy(
                size: 0, flags: mapFlags(isReadable, isWritable), dst_ioas_id: ioas, src_ioas_id: source,
                length: byteCount, dst_iova: iova, src_iova: origin))
    }

    /// Unmaps a range; `length` is the answer. The corresponding request is `IOMMU_IOAS_UNMAP`.
    @inline(__always)
    package static func unmap(
        _ ioas: UInt32, _ iova: UInt64, byteCount: UInt64
    ) -> PlainRequest<ciommu_ioas_unmap> {
        PlainRequest(.unmap, ciommu_ioas_unmap(size: 0, ioas_id: ioas, iova: iova, length: byteCount))
    }

    /// The corresponding request is `IOMMU_IOAS_CHANGE_PROCESS`.
    package static func changeProcess() -> some ABIRequest<Void> {
        Request(.changeProcess, ciommu_ioas_change_process())
    }

    /// Returns the physical address behind an IOVA, for devices without an IOMMU.
    /// The corresponding request is `IOMMU_IOAS_NOIOMMU_GET_PA`.
    package static func getPhysicalAddress(
        _ ioas: UInt32, _ iova: UInt64, byteCount: UInt64
    ) -> some ABIRequest<(address: UInt64, byteCount: UInt64)> {
        Request(
            .getPhysicalAddress,
            ciommu_ioas_noiommu_get_pa(
                size: 0, flags: 0, ioas_id: ioas, __reserved: 0, iova: iova, length: byteCount, out_phys: 0)
        ) { (request, _) in (request.out_phys, request.length) }
    }

    /// Sets or gets (without a value) whether locked memory counts per process (1) or per user (0).
    /// The corresponding request is `IOMMU_OPTION`.
    package static func accounting(_ value: UInt64? = nil) -> some ABIRequest<UInt64> {
        option(CIOMMU_OPTION_RLIMIT_MODE, of: 0, value)
    }

    /// Sets or gets (without a value) whether the pages of an address space are combined (1).
    /// The corresponding request is `IOMMU_OPTION`.
    package static func largePages(of ioas: UInt32, _ value: UInt64? = nil) -> some ABIRequest<UInt64> {
        option(CIOMMU_OPTION_HUGE_PAGES, of: ioas, value)
    }

    private static func option(_ number: UInt32, of object: UInt32, _ value: UInt64?) -> some ABIRequest<UInt64> {
        Request(
            .option,
            ciommu_option(
                size: 0, option_id: number, op: value == nil ? CIOMMU_OPTION_OP_GET : CIOMMU_OPTION_OP_SET,
                __reserved: 0, object_id: object, val64: value ?? 0)
        ) { (option, _) in option.val64 }
    }

    /// The actions on the address space that a container's requests act on.
    package enum ContainerSpaceAction {
        case get
        case set(UInt32)
        case clear
    }

    /// Gets, sets or clears the address space that a container's requests act on.
    /// The corresponding request is `IOMMU_VFIO_IOAS`.
    package static func containerSpace(_ action: ContainerSpaceAction) -> some ABIRequest<UInt32> {
        let (operation, ioas) =
            switch action {
            case .get: (CIOMMU_VFIO_IOAS_GET, 0 as UInt32)
            case .set(let ioas): (CIOMMU_VFIO_IOAS_SET, ioas)
            case .clear: (CIOMMU_VFIO_IOAS_CLEAR, 0)
            }
        return Request(.containerSpace, ciommu_vfio_ioas(size: 0, ioas_id: ioas, op: operation, __reserved: 0)) {
            (space, _) in
            space.ioas_id
        }
    }
}
