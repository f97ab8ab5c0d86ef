internal import Synchronization

extension Device {
    /// Gives access to the registers of a region for the duration of a closure.
    ///
    /// The region is mapped at the first call, where it can be, and stays so until the device is closed.
    ///
    /// ```swift
    /// let version = try device.withRegisters(.bar0) { registers in registers.read32(at: 0x08) }
    /// ```
    ///
    /// A driver that keeps its registers at hand takes a ``RegisterBank`` instead.
    ///
    /// A closure that throws needs the type of the error in its signature, `{ (registers) throws(VFIOError) in … }`, or
    /// else it is the other function of this name, which throws any error.
    ///
    /// - Throws: `.notFound` without such a region, `.memoryDecodeOff` while the device does not answer, and the first
    ///   access that the kernel refused.
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

    /// Gives access to the registers of a region to a closure that throws errors of its own.
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
    /// A region and its mapping, made now if it can be and has not been.
    func registers(of index: RegionIndex) throws(VFIOError) -> (RegionInfo, RegisterMapping?) {
        let operation = "reach the registers"
        guard index != .config else {
            throw VFIOError(
                .invalidArgument, operation, "config space of \(address)",
                hint: "use the device's config, which knows of the registers that revoke dma-bufs")
        }
        let region = try existingRegion(index, for: operation)
        // What cannot be mapped may be IO ports, which do not depend on memory decode; there the kernel's answer counts.
        guard region.isMappable else { return (region, nil) }
        try requireMemory(for: operation)
        if let known = state.withLock({ $0.registerMappings[index] }) { return (region, known) }
        // Without a mapping it goes as well, if not as fast.
        guard let mapping = RegisterMapping(region, of: self) else { return (region, nil) }
        return state.withLock { state in
            // Another thread may have been quicker; then this mapping ends here.
            if let known = state.registerMappings[index] { return (region, known) }
            state.registerMappings[index] = mapping
            return (region, mapping)
        }
    }
}
