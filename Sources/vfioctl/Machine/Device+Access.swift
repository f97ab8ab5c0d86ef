import VFIO

extension Device {
    /// Reads one register. For BARs, memory decode is enabled and stays enabled until the device is closed.
    func read(_ index: RegionIndex, at offset: UInt64, _ width: AccessWidth) throws(VFIOError) -> UInt64 {
        try check(index, at: offset, width, "read a register")
        if index == .config {
            return switch width {
            case .bits8: UInt64(try config.read8(at: offset))
            case .bits16: UInt64(try config.read16(at: offset))
            case .bits32: UInt64(try config.read32(at: offset))
            case .bits64: UInt64(try config.read32(at: offset)) | UInt64(try config.read32(at: offset + 4)) << 32
            }
        }
        try prepare(index)
        return try withRegisters(index) { (registers) throws(VFIOError) -> UInt64 in
            try registers.read(at: offset, width: width.byteCount)
        }
    }

    /// Writes one register. Memory decode is handled as in ``read(_:at:_:)``.
    func write(_ value: UInt64, _ index: RegionIndex, at offset: UInt64, _ width: AccessWidth) throws(VFIOError) {
        try check(index, at: offset, width, "write a register")
        guard width == .bits64 || value >> UInt64(width.rawValue) == 0 else {
            throw VFIOError(
                .invalidArgument, "write a register", "\(index) of \(address)",
                hint: "0x\(String(value, radix: 16)) has more than \(width.rawValue) bits")
        }
        if index == .config {
            switch width {
            case .bits8: try config.write8(UInt8(truncatingIfNeeded: value), at: offset)
            case .bits16: try config.write16(UInt16(truncatingIfNeeded: value), at: offset)
            case .bits32: try config.write32(UInt32(truncatingIfNeeded: value), at: offset)
            case .bits64:
                try config.write32(UInt32(truncatingIfNeeded: value), at: offset)
                try config.write32(UInt32(truncatingIfNeeded: value >> 32), at: offset + 4)
            }
            return
        }
        try prepare(index)
        try withRegisters(index) { (registers) throws(VFIOError) in
            try registers.write(value, at: offset, width: width.byteCount)
        }
    }

    /// The largest mappable BAR of at least one page.
    ///
    /// - Parameter pageSize: The page size in bytes.
    func largestMappableBAR(ofAtLeast pageSize: Int) throws(VFIOError) -> RegionInfo? {
        var largest: RegionInfo?
        for region in try regions() where region.index.isBAR && region.isMappable {
            if region.byteCount >= UInt64(pageSize), region.byteCount > largest?.byteCount ?? 0 { largest = region }
        }
        return largest
    }

    private func prepare(_ index: RegionIndex) throws(VFIOError) {
        if index.isBAR || index == .rom { try config.updateCommand { $0.formUnion([.memoryDecode, .ioDecode]) } }
    }

    private func check(
        _ index: RegionIndex, at offset: UInt64, _ width: AccessWidth, _ operation: String
    ) throws(VFIOError) {
        let region = try region(index)
        let end = offset.addingReportingOverflow(UInt64(width.byteCount))
        guard !end.overflow, end.partialValue <= region.byteCount else {
            throw VFIOError(
                region.byteCount == 0 ? .notFound : .outOfRange, operation, "\(index) of \(address)",
                hint: region.byteCount == 0 ? "the device has no such region" : "it has \(region.byteCount) bytes")
        }
        guard offset % UInt64(width.byteCount) == 0 else {
            throw VFIOError(
                .misaligned, operation, "\(index) of \(address)",
                hint: "an offset for \(width.rawValue) bits is a multiple of \(width.byteCount)")
        }
    }
}
