internal import Synchronization

extension Device {
    /// Gives access to the registers of a region for the duration of a closure.
    ///
    /// The region is mapped at the first call, if possible, and stays mapped until the device is closed.
    ///
    /// ```swift
    /// let version = try device.withRegisters(.bar0) { registers in registers.read32(at: 0x08) }
    /// ```
    ///
    /// A driver that accesses its registers often uses a ``RegisterBank`` instead.
    ///
    /// A throwing closure must state its error type, `{ (registers) throws(VFIOError) in … }`; otherwise the overload
    /// that throws any error is called.
    ///
    /// If the device stops answering later, reads of a mapped region return all ones, or the access ends the process with
    /// `SIGBUS`; a driver that reads all ones asks ``Device/isPresent()``.
    ///
    /// - Throws: `.notFound` without such a region, `.memoryDecodeOff` while memory decode is off, `.deviceGone`, and the
    ///   first access that the kernel refused.
    public func withRegisters<Result: ~Copyable>(
        _ index: RegionIndex, _ body: (Registers) throws(VFIOError) -> Result
    ) throws(VFIOError) -> Result {
        let (region, mapping) = try core.registers(of: index)
        let window = RegisterWindow(mapping, byteCount: Int(clamping: region.byteCount))
        let fallback = RegisterFallback(region, of: core)
        let result = try withExtendedLifetime((mapping, fallback)) { () throws(VFIOError) -> Result in
            try unsafe body(Registers(window: window, fallback: Unmanaged.passUnretained(fallback)))
        }
        if let failure = fallback.takeFailure() { throw failure }
        return result
    }

    /// Gives a closure with its own error type access to the registers of a region.
    public func withRegisters<Result: ~Copyable>(
        _ index: RegionIndex, _ body: (Registers) throws -> Result
    ) throws -> Result {
        let (region, mapping) = try core.registers(of: index)
        let window = RegisterWindow(mapping, byteCount: Int(clamping: region.byteCount))
        let fallback = RegisterFallback(region, of: core)
        let result = try withExtendedLifetime((mapping, fallback)) {
            try unsafe body(Registers(window: window, fallback: Unmanaged.passUnretained(fallback)))
        }
        if let failure = fallback.takeFailure() { throw failure }
        return result
    }
}

extension DeviceCore {
    /// Returns a region and its mapping, which is made at the first call if possible.
    func registers(of index: RegionIndex) throws(VFIOError) -> (RegionInfo, RegisterMapping?) {
        let operation = "reach the registers"
        guard index != .config else {
            throw VFIOError(
                .invalidArgument, operation, "config space of \(address)",
                hint: "use the device's config, which knows of the registers that revoke dma-bufs")
        }
        let region = try existingRegion(index, for: operation)
        // A region that cannot be mapped may be IO ports, which do not depend on memory decode; the kernel decides on
        // each access.
        guard region.isMappable else { return (region, nil) }
        if let known = state.withLock({ $0.registerMappings[index] }) {
            try requireKnownMemory(for: operation)
            return (region, known)
        }
        try requireMemory(for: operation)
        // Without a mapping each access is a system call.
        guard let mapping = RegisterMapping(region, of: self) else { return (region, nil) }
        return state.withLock { state in
            // If another thread has mapped the region meanwhile, this mapping is released.
            if let known = state.registerMappings[index] { return (region, known) }
            state.registerMappings[index] = mapping
            return (region, mapping)
        }
    }
}
