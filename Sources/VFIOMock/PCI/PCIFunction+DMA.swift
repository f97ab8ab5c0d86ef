import VFIO

extension PCIFunction {
    var isBusMaster: Bool { config.isBusMaster && config.isAnswering }

    func dmaRead(_ iova: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
        return transfer(iova, buffer.count, isWrite: false) { (translation, range) in
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[range])
            switch translation.backing {
            case .object(let object, let start): unsafe object.read(at: start + Int(translation.offset), into: part)
            // Zeros where the process has unmapped the memory.
            case .process(let address): try? unsafe UserMemory.read(address + translation.offset, into: part)
            case .bar(let target, let bar, let start):
                unsafe target.readBAR(bar, at: start + translation.offset, into: part)
            }
        }
    }

    func dmaWrite(_ iova: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        transfer(iova, buffer.count, isWrite: true) { (translation, range) in
            let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
            switch translation.backing {
            case .object(let object, let start): unsafe object.write(at: start + Int(translation.offset), from: part)
            // Dropped where the process has unmapped the memory.
            case .process(let address): try? unsafe UserMemory.write(address + translation.offset, from: part)
            case .bar(let target, let bar, let start):
                unsafe target.writeBAR(bar, at: start + translation.offset, from: part)
            }
        }
    }

    /// Translates a range of IOVA piece by piece, records a fault for each page that does not allow this DMA, and
    /// returns whether there was none.
    private func transfer(
        _ iova: UInt64, _ byteCount: Int, isWrite: Bool, _ body: (Translation, Range<Int>) -> Void
    ) -> Bool {
        guard isBusMaster else { return false }
        var isComplete = true
        var done = 0
        while done < byteCount {
            let start = iova &+ UInt64(done)
            let found = hasIOMMU ? space?.translate(start) : bus.iommu.physicalTranslation(start)
            if let found, isWrite ? found.isWritable : found.isReadable {
                let count = Int(min(found.byteCount, UInt64(byteCount - done)))
                body(found, done..<done + count)
                if isWrite { space?.noteWrite(at: start, count) }
                done += count
            } else {
                let page = start & ~0xfff
                bus.iommu.faults.append(
                    isWrite ? .write(iova: IOVA(page), by: address) : .read(iova: IOVA(page), by: address))
                isComplete = false
                done += min(Int(4096 - (start - page)), byteCount - done)
            }
        }
        return isComplete
    }

    // MARK: From another device

    /// A BAR whose decode is off does not answer: the buffer keeps its zeros.
    func readBAR(_ bar: Int, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
        guard config.respondsToMemory else { return }
        if let memory = memory[bar] { return unsafe memory.read(at: Int(offset), into: buffer) }
        for (position, width) in Self.accesses(offset, buffer.count) {
            let value = load(bar: bar, offset: offset + UInt64(position), width: width)
            for byte in 0..<width {
                unsafe buffer[position + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8))
            }
        }
    }

    func writeBAR(_ bar: Int, at offset: UInt64, from buffer: UnsafeRawBufferPointer) {
        guard config.respondsToMemory else { return }
        if let memory = memory[bar] { return unsafe memory.write(at: Int(offset), from: buffer) }
        for (position, width) in Self.accesses(offset, buffer.count) {
            let value = (0..<width).reduce(UInt64(0)) {
                unsafe $0 | UInt64(buffer[position + $1]) << UInt64($1 * 8)
            }
            store(bar: bar, offset: offset + UInt64(position), width: width, value)
        }
    }

    /// Splits a range into naturally aligned accesses, as wide as possible.
    private static func accesses(_ offset: UInt64, _ byteCount: Int) -> [(position: Int, width: Int)] {
        var result: [(Int, Int)] = []
        var position = 0
        while position < byteCount {
            let width = [8, 4, 2, 1].first {
                byteCount - position >= $0 && (offset + UInt64(position)) % UInt64($0) == 0
            }!
            result.append((position, width))
            position += width
        }
        return result
    }
}
