import VFIO

extension NVMeModel {
    /// A contiguous piece of a command's data.
    struct Segment {
        var address: UInt64
        var byteCount: Int
    }

    // MARK: PRPs

    /// Resolves the PRP entries of a command to segments: section 4.3 of the specification.
    mutating func mapData(_ command: Command, _ byteCount: Int, _ bus: borrowing MockBus) throws(Status) {
        segments.removeAll(keepingCapacity: true)
        let pageSize = registers.pageSize
        let offset = Int(command.prp1 & UInt64(pageSize - 1))
        guard command.prp1 & 3 == 0 else { throw .invalidPRPOffset }
        var remaining = byteCount
        append(command.prp1, min(remaining, pageSize - offset), &remaining)
        if remaining == 0 { return }
        if remaining <= pageSize {
            guard command.prp2 & UInt64(pageSize - 1) == 0 else { throw .invalidPRPOffset }
            append(command.prp2, remaining, &remaining)
            return
        }
        // A list may begin anywhere in a page; a list that another one leads to is a whole page.
        guard command.prp2 & 7 == 0 else { throw .invalidPRPOffset }
        var list = command.prp2
        while remaining > 0 {
            let room = (pageSize - Int(list & UInt64(pageSize - 1))) / 8
            let needed = (remaining + pageSize - 1) / pageSize
            let isLast = needed <= room
            let entries = try readList(list, isLast ? needed : room, bus)
            for entry in isLast ? entries[...] : entries.dropLast() {
                guard entry & UInt64(pageSize - 1) == 0 else { throw .invalidPRPOffset }
                append(entry, min(remaining, pageSize), &remaining)
            }
            if !isLast {
                list = entries.last!
                guard list & UInt64(pageSize - 1) == 0 else { throw .invalidPRPOffset }
            }
        }
    }

    private mutating func append(_ address: UInt64, _ byteCount: Int, _ remaining: inout Int) {
        remaining -= byteCount
        if let last = segments.last, last.address &+ UInt64(last.byteCount) == address {
            segments[segments.count - 1].byteCount += byteCount
        } else {
            segments.append(Segment(address: address, byteCount: byteCount))
        }
    }

    private func readList(_ address: UInt64, _ count: Int, _ bus: borrowing MockBus) throws(Status) -> [UInt64] {
        var entries = [UInt64](repeating: 0, count: count)
        let isRead = unsafe entries.withUnsafeMutableBytes { unsafe dmaRead(address, into: $0, bus) }
        guard isRead else { throw .dataTransferError }
        return entries
    }

    // MARK: Transfers, after `mapData`

    /// Sends data to the host. A refused write is an error at the end.
    func send(_ buffer: UnsafeMutableRawBufferPointer, _ bus: borrowing MockBus) throws(Status) {
        unsafe invertIfAsked(buffer)
        var isComplete = true
        var position = 0
        for segment in segments {
            let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[position..<position + segment.byteCount])
            if unsafe !dmaWrite(segment.address, from: part, bus) { isComplete = false }
            position += segment.byteCount
        }
        if !isComplete && noticesRefusedDMA { throw .dataTransferError }
    }

    /// Fetches data from the host.
    func receive(_ buffer: UnsafeMutableRawBufferPointer, _ bus: borrowing MockBus) throws(Status) {
        var position = 0
        for segment in segments {
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[position..<position + segment.byteCount])
            if unsafe !dmaRead(segment.address, into: part, bus) && noticesRefusedDMA { throw .dataTransferError }
            position += segment.byteCount
        }
        unsafe invertIfAsked(buffer)
    }

    /// Sends a structure to the PRPs of a command.
    mutating func send(_ bytes: [UInt8], of command: Command, _ bus: borrowing MockBus) throws(Status) {
        try mapData(command, bytes.count, bus)
        var bytes = bytes
        // `withUnsafeMutableBytes` does not have typed throws.
        var failure: Status?
        unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(Status) { unsafe try send(buffer, bus) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func invertIfAsked(_ buffer: UnsafeMutableRawBufferPointer) {
        guard isCorrupting else { return }
        for index in buffer.indices { unsafe buffer[index] ^= 0xff }
    }

    // MARK: DMA

    /// The offset of an address in the controller memory buffer; `nil` outside.
    private func memoryOffset(_ address: UInt64, _ byteCount: Int, _ bus: borrowing MockBus) -> Int? {
        guard let start = memoryBufferAddress(bus) else { return nil }
        let offset = address &- start
        guard offset < UInt64(memoryByteCount), UInt64(byteCount) <= UInt64(memoryByteCount) - offset else {
            return nil
        }
        return Int(offset)
    }

    /// Reads the controller's own memory or the host's.
    func dmaRead(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer, _ bus: borrowing MockBus) -> Bool {
        if let offset = memoryOffset(address, buffer.count, bus) {
            unsafe bus.readMemory(bar: 2, at: offset, into: buffer)
            return true
        }
        return unsafe bus.read(IOVA(address), into: buffer)
    }

    /// Writes the controller's own memory or the host's.
    func dmaWrite(_ address: UInt64, from buffer: UnsafeRawBufferPointer, _ bus: borrowing MockBus) -> Bool {
        if let offset = memoryOffset(address, buffer.count, bus) {
            unsafe bus.writeMemory(bar: 2, at: offset, from: buffer)
            return true
        }
        return unsafe bus.write(buffer, to: IOVA(address))
    }
}
