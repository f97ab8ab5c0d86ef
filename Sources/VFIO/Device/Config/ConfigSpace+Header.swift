extension ConfigSpace {
    /// The vendor of the device, as assigned by the PCI-SIG.
    public func vendorID() throws(VFIOError) -> UInt16 { try read16(at: 0x00) }
    /// The device's number among its vendor's.
    public func deviceID() throws(VFIOError) -> UInt16 { try read16(at: 0x02) }
    /// The revision of the device.
    public func revisionID() throws(VFIOError) -> UInt8 { try read8(at: 0x08) }
    /// What the device is: base class, subclass and programming interface, 8 bits each, as 24 bits.
    public func classCode() throws(VFIOError) -> UInt32 { try read32(at: 0x08) >> 8 }
    /// The layout of the header: 0 for a device, 1 for a bridge.
    public func headerType() throws(VFIOError) -> UInt8 { try read8(at: 0x0E) & 0x7F }
    /// Whether the device has other functions beside this one.
    public func isMultifunction() throws(VFIOError) -> Bool { try read8(at: 0x0E) & 0x80 != 0 }
    /// The vendor of the board or the integration.
    public func subsystemVendorID() throws(VFIOError) -> UInt16 { try read16(at: 0x2C) }
    /// The board's number among its vendor's.
    public func subsystemID() throws(VFIOError) -> UInt16 { try read16(at: 0x2E) }
    /// The interrupt pin: 1 to 4 for INTA to INTD, 0 for none. vfio-pci shows 0 where INTx cannot be used.
    public func interruptPin() throws(VFIOError) -> UInt8 { try read8(at: 0x3D) }
    /// The status register (PCI Local Bus Specification 3.0, 6.2.3).
    public func status() throws(VFIOError) -> UInt16 { try read16(at: 0x06) }

    /// A base address register, as vfio-pci shows it: an address of the guest's choosing, with the size in its fixed bits.
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

    /// The capability list. A broken list is given as far as it goes.
    public func capabilities() throws(VFIOError) -> [PCICapability] { try walkCapabilities() }

    /// The extended capability list; empty for a conventional PCI device.
    public func extendedCapabilities() throws(VFIOError) -> [PCIExtendedCapability] { try walkExtendedCapabilities() }

    /// The first capability of a kind; `nil` when there is none.
    public func capability(_ id: PCICapability.ID) throws(VFIOError) -> PCICapability? {
        try walkCapabilities().first { $0.id == id }
    }

    /// The first extended capability of a kind; `nil` when there is none.
    public func extendedCapability(_ id: PCIExtendedCapability.ID) throws(VFIOError) -> PCIExtendedCapability? {
        try walkExtendedCapabilities().first { $0.id == id }
    }
}
