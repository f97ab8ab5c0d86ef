internal import CVFIO
internal import CVFIOMock
import SystemPackage
import VFIO

extension Core {
    func iommufdControl(_ iommufd: IOMMUFD, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        if Self.containerRequests.contains(request) { return try iommufdContainerControl(iommufd, request, argument) }
        switch request {
        case CIOMMU_DESTROY:
            let command = try argument.loadSized(ciommu_destroy(), minimum: 8)
            try iommufd.destroy(command.id, self)
        case CIOMMU_IOAS_ALLOC:
            var command = try argument.loadSized(ciommu_ioas_alloc(), minimum: 12)
            if command.flags != 0 { throw .notSupported }
            command.out_ioas_id = iommufd.nextID
            iommufd.add(.ioas(IOAS(id: command.out_ioas_id, iommu: iommu)), command.out_ioas_id)
            try argument.storeSized(command)
        case CIOMMU_IOAS_ALLOW_IOVAS: try allowRanges(iommufd, argument)
        case CIOMMU_IOAS_COPY: try copyMapping(iommufd, argument)
        case CIOMMU_IOAS_IOVA_RANGES: try usableRanges(iommufd, argument)
        case CIOMMU_IOAS_MAP: try mapMemory(iommufd, argument)
        case CIOMMU_IOAS_MAP_FILE where release.hasMapFile: try mapFile(iommufd, argument)
        case CIOMMU_IOAS_UNMAP: try unmap(iommufd, argument)
        case CIOMMU_OPTION: try option(iommufd, argument)
        case CIOMMU_HWPT_ALLOC: try allocateTable(iommufd, argument)
        default: try hardwareControl(iommufd, request, argument)
        }
        return 0
    }

    // MARK: Ranges

    private func usableRanges(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_ioas_iova_ranges(), minimum: 32)
        if command.__reserved != 0 { throw .notSupported }
        let ioas = try iommufd.ioas(command.ioas_id)
        let ranges = ioas.usableRanges
        let room = Int(command.num_iovas)
        if !ranges.isEmpty && room > 0 {
            guard let target = unsafe UnsafeMutablePointer<ciommu_iova_range>(bitPattern: UInt(command.allowed_iovas))
            else { throw .badAddress }
            for (index, range) in ranges.prefix(room).enumerated() {
                unsafe target[index] = ciommu_iova_range(start: range.lowerBound, last: range.upperBound)
            }
        }
        command.num_iovas = UInt32(ranges.count)
        command.out_iova_alignment = ioas.alignment
        try argument.storeSized(command)
        if ranges.count > room { throw .messageTooLong }
    }

    private func allowRanges(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_ioas_allow_iovas(), minimum: 24)
        if command.__reserved != 0 { throw .notSupported }
        let ioas = try iommufd.ioas(command.ioas_id)
        var ranges: [ClosedRange<UInt64>] = []
        if command.num_iovas > 0 {
            guard let source = unsafe UnsafePointer<ciommu_iova_range>(bitPattern: UInt(command.allowed_iovas)) else {
                throw .badAddress
            }
            for index in 0..<Int(command.num_iovas) {
                let range = unsafe source[index]
                if range.start >= range.last { throw .invalidArgument }
                if ranges.contains(where: { $0.overlaps(range.start...range.last) }) { throw .invalidArgument }
                ranges.append(range.start...range.last)
            }
        }
        try ioas.setAllowed(ranges.sorted { $0.lowerBound < $1.lowerBound })
    }

    // MARK: Mappings

    private static let mapFlags =
        CIOMMU_IOAS_MAP_FIXED_IOVA | CIOMMU_IOAS_MAP_WRITEABLE | CIOMMU_IOAS_MAP_READABLE

    private func checkAccess(_ flags: UInt32) throws(Errno) {
        if flags & (CIOMMU_IOAS_MAP_WRITEABLE | CIOMMU_IOAS_MAP_READABLE) == 0 { throw .invalidArgument }
    }

    private func map(
        _ source: PageSource, _ byteCount: UInt64, _ flags: UInt32, _ iova: UInt64, _ ioas: IOAS
    ) throws(Errno) -> UInt64 {
        try ioas.map(
            [.init(source: source, offset: 0, byteCount: byteCount)], byteCount: byteCount,
            at: flags & CIOMMU_IOAS_MAP_FIXED_IOVA != 0 ? iova : nil,
            isReadable: flags & CIOMMU_IOAS_MAP_READABLE != 0, isWritable: flags & CIOMMU_IOAS_MAP_WRITEABLE != 0, self)
    }

    private func mapMemory(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_ioas_map(), minimum: 40)
        if command.flags & ~Self.mapFlags != 0 || command.__reserved != 0 { throw .notSupported }
        if command.iova == .max || command.length == .max { throw .overflow }
        try checkAccess(command.flags)
        let ioas = try iommufd.ioas(command.ioas_id)
        if command.user_va.addingReportingOverflow(command.length).overflow { throw .overflow }
        if command.length == 0 || command.length > .max - 4096 { throw .invalidArgument }
        let source = PageSource(
            .process(command.user_va), byteCount: command.length,
            isWritable: command.flags & CIOMMU_IOAS_MAP_WRITEABLE != 0)
        command.iova = try map(source, command.length, command.flags, command.iova, ioas)
        try argument.storeSized(command)
    }

    private func mapFile(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_ioas_map_file(), minimum: 40)
        if command.flags & ~Self.mapFlags != 0 { throw .notSupported }
        if command.iova == .max || command.length == .max { throw .overflow }
        try checkAccess(command.flags)
        let ioas = try iommufd.ioas(command.ioas_id)
        if command.length == 0 { throw .invalidArgument }
        let (last, wraps) = command.start.addingReportingOverflow(command.length - 1)
        if wraps { throw .overflow }
        let isWritable = command.flags & CIOMMU_IOAS_MAP_WRITEABLE != 0
        let descriptor = FileDescriptor(rawValue: command.fd)
        if case .picture(let picture)? = file(descriptor)?.object {
            // Nobody but vfio-pci can revoke, and so nothing else is taken.
            throw picture.byteCount <= last ? .invalidArgument : .notSupported
        }
        if case .dmaBuf(let buffer)? = file(descriptor)?.object, let file = file(descriptor) {
            if buffer.byteCount <= last { throw .invalidArgument }
            if buffer.isRevoked { throw .operationNotSupportedByDevice }
            if buffer.ranges.count != 1 { throw .notSupported }
            let source = PageSource(
                .dmaBuf(buffer, file, command.start), byteCount: command.length, isWritable: isWritable)
            command.iova = try map(source, command.length, command.flags, command.iova, ioas)
            buffer.addImporter(source)
            hold(file)
        } else {
            try checkDescriptor(descriptor)
            let (object, offset) = try memoryFile(descriptor, command.start, command.length)
            let source = PageSource(.file(object, offset), byteCount: command.length, isWritable: isWritable)
            command.iova = try map(source, command.length, command.flags, command.iova, ioas)
        }
        try argument.storeSized(command)
    }

    /// Part of a memfd, mapped for the mock; no object for files of other kinds, and for ranges past the end.
    private func memoryFile(
        _ descriptor: FileDescriptor, _ start: UInt64, _ byteCount: UInt64
    ) throws(Errno) -> (MemoryObject?, Int) {
        guard file(descriptor) == nil, cmock_is_memory_file(descriptor.rawValue) == 1,
            let size = try? host.size(of: descriptor), start + (byteCount - 1) < size
        else { return (nil, Int(start & 0xfff)) }
        let base = start & ~0xfff
        let object = try MemoryObject(file: descriptor.rawValue, at: base, byteCount: Int(start - base + byteCount))
        return (object, Int(start - base))
    }

    private func copyMapping(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_ioas_copy(), minimum: 40)
        if command.flags & ~Self.mapFlags != 0 { throw .notSupported }
        if command.length == .max || command.src_iova == .max || command.dst_iova == .max { throw .overflow }
        try checkAccess(command.flags)
        let source = try iommufd.ioas(command.src_ioas_id)
        let pieces = try source.pieces(command.src_iova, command.length)
        let target = try iommufd.ioas(command.dst_ioas_id)
        command.dst_iova = try target.map(
            pieces, byteCount: command.length,
            at: command.flags & CIOMMU_IOAS_MAP_FIXED_IOVA != 0 ? command.dst_iova : nil,
            isReadable: command.flags & CIOMMU_IOAS_MAP_READABLE != 0,
            isWritable: command.flags & CIOMMU_IOAS_MAP_WRITEABLE != 0, self)
        try argument.storeSized(command)
    }

    private func unmap(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_ioas_unmap(), minimum: 24)
        let ioas = try iommufd.ioas(command.ioas_id)
        if command.iova == 0 && command.length == .max {
            command.length = try ioas.unmap(0, .max, self)
        } else {
            if command.iova == .max || command.length == .max { throw .overflow }
            if command.length == 0 { throw .invalidArgument }
            let (last, wraps) = command.iova.addingReportingOverflow(command.length - 1)
            if wraps { throw .overflow }
            command.length = try ioas.unmap(command.iova, last, self)
            if command.length == 0 { throw .noSuchFileOrDirectory }
        }
        try argument.storeSized(command)
    }

    // MARK: Options

    private func option(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_option(), minimum: 24)
        if command.__reserved != 0 { throw .notSupported }
        let isGet = command.op == CIOMMU_OPTION_OP_GET
        if !isGet && command.op != CIOMMU_OPTION_OP_SET { throw .notSupported }
        switch command.option_id {
        case CIOMMU_OPTION_RLIMIT_MODE:
            if command.object_id != 0 { throw .notSupported }
            if isGet {
                command.val64 = iommufd.countsByProcess ? 1 : 0
            } else {
                if !iommufd.objects.isEmpty { throw .resourceBusy }
                if command.val64 > 1 { throw .invalidArgument }
                iommufd.countsByProcess = command.val64 == 1
            }
        case CIOMMU_OPTION_HUGE_PAGES:
            let ioas = try iommufd.ioas(command.object_id)
            if isGet {
                command.val64 = ioas.combinesPages ? 1 : 0
            } else {
                if command.val64 > 1 { throw .invalidArgument }
                try ioas.setCombinesPages(command.val64 == 1)
            }
        default: throw .notSupported
        }
        try argument.storeSized(command)
    }
}
