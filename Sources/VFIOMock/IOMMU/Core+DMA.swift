import VFIO

extension Core {
    /// A device reads memory, or another device.
    @discardableResult
    func dmaRead(_ function: PCIFunction, _ iova: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        var isComplete = true
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
        guard function.config.isBusMaster else { return false }
        walk(function, iova, buffer.count, isWrite: false) { (translation, range) in
            guard let translation else {
                isComplete = false
                return
            }
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[range])
            switch translation.backing {
            case .object(let object, let start): unsafe object.read(at: start + Int(translation.offset), into: part)
            case .process(let address): unsafe ProcessMemory.read(address + translation.offset, into: part)
            case .bar(let target, let bar, let start):
                unsafe readPeer(target, bar, start + translation.offset, into: part)
            }
        }
        return isComplete
    }

    /// A device writes memory, or another device.
    @discardableResult
    func dmaWrite(_ function: PCIFunction, _ iova: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        var isComplete = true
        guard function.config.isBusMaster else { return false }
        walk(function, iova, buffer.count, isWrite: true) { (translation, range) in
            guard let translation else {
                isComplete = false
                return
            }
            let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
            switch translation.backing {
            case .object(let object, let start): unsafe object.write(at: start + Int(translation.offset), from: part)
            case .process(let address): unsafe ProcessMemory.write(address + translation.offset, from: part)
            case .bar(let target, let bar, let start):
                unsafe writePeer(target, bar, start + translation.offset, from: part)
            }
        }
        return isComplete
    }

    /// Goes through a range of IOVA piece by piece, and records a fault for each page that is not for this DMA.
    private func walk(
        _ function: PCIFunction, _ iova: UInt64, _ byteCount: Int, isWrite: Bool,
        _ body: (Translation?, Range<Int>) -> Void
    ) {
        var done = 0
        while done < byteCount {
            let address = iova &+ UInt64(done)
            let found = function.hasIOMMU ? function.space?.translate(address) : physicalTranslation(address)
            if let translation = found,
                isWrite ? translation.isWritable : translation.isReadable
            {
                let count = Int(min(translation.byteCount, UInt64(byteCount - done)))
                body(translation, done..<done + count)
                if isWrite { function.boundDevice?.table?.noteWrite(at: address, count) }
                done += count
            } else {
                let page = address & ~0xfff
                faults.append(
                    isWrite
                        ? .write(iova: IOVA(page), by: function.address)
                        : .read(iova: IOVA(page), by: function.address))
                let count = min(Int(4096 - (address - page)), byteCount - done)
                body(nil, done..<done + count)
                done += count
            }
        }
    }

    // MARK: From device to device

    private func readPeer(
        _ target: PCIFunction, _ bar: Int, _ offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) {
        // Nobody answers for a BAR whose decode is off: the reader keeps its zeros.
        guard target.config.respondsToMemory else { return }
        if let memory = target.memory[bar] { return unsafe memory.read(at: Int(offset), into: buffer) }
        for (position, width) in accesses(offset, buffer.count) {
            let value = target.load(self, bar: bar, offset: offset + UInt64(position), width: width)
            for byte in 0..<width {
                unsafe buffer[position + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8))
            }
        }
    }

    private func writePeer(_ target: PCIFunction, _ bar: Int, _ offset: UInt64, from buffer: UnsafeRawBufferPointer) {
        guard target.config.respondsToMemory else { return }
        if let memory = target.memory[bar] { return unsafe memory.write(at: Int(offset), from: buffer) }
        for (position, width) in accesses(offset, buffer.count) {
            let value = (0..<width).reduce(UInt64(0)) {
                unsafe $0 | UInt64(buffer[position + $1]) << UInt64($1 * 8)
            }
            target.store(self, bar: bar, offset: offset + UInt64(position), width: width, value)
        }
    }

    /// A range as naturally aligned accesses, as wide as they can be.
    func accesses(_ offset: UInt64, _ byteCount: Int) -> [(position: Int, width: Int)] {
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
