internal import CVFIO
internal import CVFIOMock
import SystemPackage
import VFIO

extension IOMMUFD {
    // MARK: Ranges

    func usableRanges(_ argument: Argument) throws(Errno) {
        var (ranges, room): ([ClosedRange<UInt64>], Int) = ([], 0)
        try argument.update(ciommu_ioas_iova_ranges(), minimum: 32) { (command) throws(Errno) in
            if command.__reserved != 0 { throw .notSupported }
            let ioas = try ioas(command.ioas_id)
            ranges = ioas.usableRanges
            room = Int(command.num_iovas)
            for (index, range) in ranges.prefix(room).enumerated() {
                try UserMemory.store(
                    ciommu_iova_range(start: range.lowerBound, last: range.upperBound),
                    at: command.allowed_iovas &+ UInt64(index * MemoryLayout<ciommu_iova_range>.stride))
            }
            command.num_iovas = UInt32(ranges.count)
            command.out_iova_alignment = ioas.alignment
        }
        if ranges.count > room { throw .messageTooLong }
    }

    func allowRanges(_ argument: Argument) throws(Errno) {
        let command = try argument.loadSized(ciommu_ioas_allow_iovas(), minimum: 24)
        if command.__reserved != 0 { throw .notSupported }
        let ioas = try ioas(command.ioas_id)
        var ranges: [ClosedRange<UInt64>] = []
        for index in 0..<UInt64(command.num_iovas) {
            let range = try UserMemory.load(
                ciommu_iova_range(),
                at: command.allowed_iovas &+ index * UInt64(MemoryLayout<ciommu_iova_range>.stride))
            if range.start >= range.last { throw .invalidArgument }
            if ranges.contains(where: { $0.overlaps(range.start...range.last) }) { throw .invalidArgument }
            ranges.append(range.start...range.last)
        }
        try ioas.setAllowed(ranges.sorted { $0.lowerBound < $1.lowerBound })
    }

    // MARK: Mappings

    private func checkFlags(_ flags: UInt32) throws(Errno) {
        let access = CIOMMU_IOAS_MAP_WRITEABLE | CIOMMU_IOAS_MAP_READABLE
        if flags & ~(access | CIOMMU_IOAS_MAP_FIXED_IOVA) != 0 { throw .notSupported }
    }

    private func checkAccess(_ flags: UInt32) throws(Errno) {
        if flags & (CIOMMU_IOAS_MAP_WRITEABLE | CIOMMU_IOAS_MAP_READABLE) == 0 { throw .invalidArgument }
    }

    private func map(
        _ pieces: [IOAS.Piece], _ byteCount: UInt64, _ flags: UInt32, _ iova: inout UInt64, _ ioas: IOAS
    ) throws(Errno) {
        iova = try ioas.map(
            pieces, byteCount: byteCount, at: flags & CIOMMU_IOAS_MAP_FIXED_IOVA != 0 ? iova : nil,
            isReadable: flags & CIOMMU_IOAS_MAP_READABLE != 0, isWritable: flags & CIOMMU_IOAS_MAP_WRITEABLE != 0)
    }

    private func map(
        _ kind: PageSource.Kind, _ byteCount: UInt64, _ flags: UInt32, _ iova: inout UInt64, _ ioas: IOAS
    ) throws(Errno) {
        let source = PageSource(
            kind, byteCount: byteCount, isWritable: flags & CIOMMU_IOAS_MAP_WRITEABLE != 0, iommu.memory)
        try map([.init(source: source, offset: 0, byteCount: byteCount)], byteCount, flags, &iova, ioas)
    }

    func mapMemory(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_ioas_map(), minimum: 40) { (command) throws(Errno) in
            try checkFlags(command.flags)
            if command.__reserved != 0 { throw .notSupported }
            if command.iova == .max || command.length == .max { throw .overflow }
            try checkAccess(command.flags)
            let ioas = try ioas(command.ioas_id)
            if command.user_va.addingReportingOverflow(command.length).overflow { throw .overflow }
            if command.length == 0 || command.length > .max - 4096 { throw .invalidArgument }
            try map(.process(command.user_va), command.length, command.flags, &command.iova, ioas)
        }
    }

    func mapFile(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_ioas_map_file(), minimum: 40) { (command) throws(Errno) in
            try checkFlags(command.flags)
            if command.iova == .max || command.length == .max { throw .overflow }
            try checkAccess(command.flags)
            let ioas = try ioas(command.ioas_id)
            let last = try command.start.last(of: command.length)
            let kind: PageSource.Kind
            if let (file, buffer) = try iommu.core.file(command.fd, as: DMABuf.self) {
                if buffer.byteCount <= last { throw .invalidArgument }
                if buffer.isRevoked { throw .operationNotSupportedByDevice }
                // Only dma-bufs of vfio-pci are accepted, since only they can be revoked; and of those only one range.
                if buffer.ranges.count != 1 { throw .notSupported }
                kind = .dmaBuf(buffer, file, command.start)
            } else {
                let (object, offset) = try memoryFile(command.fd, command.start, command.length)
                kind = .file(object, offset)
            }
            try map(kind, command.length, command.flags, &command.iova, ioas)
        }
    }

    /// Maps part of a memfd for the mock; no object for files of other types, and for ranges past the end.
    private func memoryFile(
        _ number: Int32, _ start: UInt64, _ byteCount: UInt64
    ) throws(Errno) -> (MemoryObject?, Int) {
        let descriptor = FileDescriptor(rawValue: number)
        guard iommu.core.file(descriptor) == nil, cmock_is_memory_file(number) == 1,
            let size = try? iommu.core.host.size(of: descriptor), start + (byteCount - 1) < size
        else { return (nil, Int(start & 0xfff)) }
        let base = start & ~0xfff
        let object = try MemoryObject(file: number, at: base, byteCount: Int(start - base + byteCount))
        return (object, Int(start - base))
    }

    func copyMapping(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_ioas_copy(), minimum: 40) { (command) throws(Errno) in
            try checkFlags(command.flags)
            if command.length == .max || command.src_iova == .max || command.dst_iova == .max { throw .overflow }
            try checkAccess(command.flags)
            let pieces = try ioas(command.src_ioas_id).pieces(command.src_iova, command.length)
            try map(pieces, command.length, command.flags, &command.dst_iova, try ioas(command.dst_ioas_id))
        }
    }

    func unmap(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_ioas_unmap(), minimum: 24) { (command) throws(Errno) in
            let ioas = try ioas(command.ioas_id)
            if command.iova == 0 && command.length == .max {
                command.length = try ioas.unmap(0, .max)
                return
            }
            if command.iova == .max || command.length == .max { throw .overflow }
            command.length = try ioas.unmap(command.iova, try command.iova.last(of: command.length))
            if command.length == 0 { throw .noSuchFileOrDirectory }
        }
    }

    // MARK: Devices without an IOMMU

    /// `IOMMU_IOAS_NOIOMMU_GET_PA`.
    func physicalAddress(_ argument: Argument) throws(Errno) {
        try argument.update(ciommu_ioas_noiommu_get_pa(), minimum: 40) { (command) throws(Errno) in
            // The request requires the unsafe no-IOMMU mode.
            guard iommu.release.hasUnsafeNoIOMMUMode else { throw .notSupported }
            if command.flags != 0 || command.__reserved != 0 { throw .notSupported }
            if command.length == 0 { throw .invalidArgument }
            if command.iova == .max { throw .overflow }
            let ioas = try ioas(command.ioas_id)
            guard let area = ioas.list.area(at: command.iova) else { throw .noSuchFileOrDirectory }
            if area.source.isRevoked { throw .invalidArgument }
            guard ioas.isNoIOMMU else { throw .notSupported }
            var answer: (address: UInt64, byteCount: UInt64)?
            while true {
                let done = answer?.byteCount ?? 0
                if done >= command.length || done > area.last - command.iova { break }
                guard let translation = ioas.translate(command.iova + done) else { break }
                let piece = iommu.physicalAddress(of: translation)
                if let start = answer?.address, piece.address != start + done { break }
                answer = (answer?.address ?? piece.address, done + piece.byteCount)
            }
            guard let answer else { throw .noSuchFileOrDirectory }
            command.out_phys = answer.address
            command.length = min(answer.byteCount, command.length)
        }
    }
}
