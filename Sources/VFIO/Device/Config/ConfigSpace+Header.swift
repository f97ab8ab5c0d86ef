extension ConfigSpace {
    /// Returns the vendor ID of the device, as assigned by the PCI-SIG.
    public func vendorID() throws(VFIOError) -> UInt16 { try read16(at: 0x00) }
    /// Returns the device ID, as assigned by the vendor.
    public func deviceID() throws(VFIOError) -> UInt16 { try read16(at: 0x02) }
    /// Returns the revision of the device.
    public func revisionID() throws(VFIOError) -> UInt8 { try read8(at: 0x08) }
    /// Returns the class code: base class, subclass and programming interface, 8 bits each, as 24 bits.
    public func classCode() throws(VFIOError) -> UInt32 { try read32(at: 0x08) >> 8 }
    /// Returns the layout of the header: 0 for a device, 1 for a bridge.
    public func headerType() throws(VFIOError) -> UInt8 { try read8(at: 0x0E) & 0x7F }
    /// Returns whether the device has other functions beside this one.
    public func isMultifunction() throws(VFIOError) -> Bool { try read8(at: 0x0E) & 0x80 != 0 }
    /// Returns the vendor ID of the board or the integration.
    public func subsystemVendorID() throws(VFIOError) -> UInt16 { try read16(at: 0x2C) }
    /// Returns the subsystem ID, as assigned by the subsystem vendor.
    public func subsystemID() throws(VFIOError) -> UInt16 { try read16(at: 0x2E) }
    /// Returns the interrupt pin: 1 to 4 for INTA to INTD, 0 for none. vfio-pci shows 0 if INTx cannot be used.
    public func interruptPin() throws(VFIOError) -> UInt8 { try read8(at: 0x3D) }
    /// Returns the status register (PCI Local Bus Specification 3.0, 6.2.3).
    public func status() throws(VFIOError) -> UInt16 { try read16(at: 0x06) }

    /// Returns a base address register, as vfio-pci shows it: the address that the guest has written, with the size in
    /// its fixed bits.
    ///
    /// - Parameter number: 0 to 5. A 64-bit BAR takes two.
    public func baseAddress(_ number: Int) throws(VFIOError) -> PCIBaseAddress {
        guard (0...5).contains(number) else {
            throw VFIOError(
                .notFound, "read a base address register", "BAR \(number)", hint: "a function has the BARs 0 to 5")
        }
        let low = try read32(at: 0x10 + UInt64(number) * 4)
        let isUpperHalfNeeded = low & 0x7 == 0x4 && number < 5
        let high = isUpperHalfNeeded ? try read32(at: 0x14 + UInt64(number) * 4) : 0
        return PCIBaseAddress(low: low, high: high)
    }

    /// Returns the capability list. A broken list is returned up to the fault.
    public func capabilities() throws(VFIOError) -> [PCICapability] { try walkCapabilities() }

    /// Returns the extended capability list; empty for a conventional PCI device.
    public func extendedCapabilities() throws(VFIOError) -> [PCIExtendedCapability] { try walkExtendedCapabilities() }

    /// Returns the first capability with an ID; `nil` if there is none.
    public func capability(_ id: PCICapability.ID) throws(VFIOError) -> PCICapability? {
        try walkCapabilities().first { $0.id == id }
    }

    /// Returns the first extended capability with an ID; `nil` if there is none.
    public func extendedCapability(_ id: PCIExtendedCapability.ID) throws(VFIOError) -> PCIExtendedCapability? {
        try walkExtendedCapabilities().first { $0.id == id }
    }
}
