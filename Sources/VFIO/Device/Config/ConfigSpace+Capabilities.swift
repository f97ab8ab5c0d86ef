extension ConfigSpace {
    /// Returns the power management capability, `nil` without one.
    public func powerManagement() throws(VFIOError) -> PCIPowerManagement? {
        try position(of: .powerManagement, byteCount: 6).map { (offset) throws(VFIOError) in try .init(self, at: offset)
        }
    }

    /// Returns the MSI capability, `nil` without one.
    public func msi() throws(VFIOError) -> PCIMSI? {
        try position(of: .msi, byteCount: 4).map { (offset) throws(VFIOError) in try .init(self, at: offset) }
    }

    /// Returns the MSI-X capability, `nil` without one.
    public func msix() throws(VFIOError) -> PCIMSIX? {
        try position(of: .msix, byteCount: 12).map { (offset) throws(VFIOError) in try .init(self, at: offset) }
    }

    /// Returns the PCI Express capability, `nil` for a conventional PCI device.
    public func pciExpress() throws(VFIOError) -> PCIExpress? {
        try position(of: .pciExpress, byteCount: 20).map { (offset) throws(VFIOError) in try .init(self, at: offset) }
    }

    /// Returns all vendor-specific capabilities.
    public func vendorCapabilities() throws(VFIOError) -> [PCIVendorCapability] {
        var found: [PCIVendorCapability] = []
        for capability in try walkCapabilities() where capability.id == .vendorSpecific {
            found.append(try PCIVendorCapability(self, at: capability.offset))
        }
        return found
    }

    /// Returns the address translation services capability, `nil` without one.
    public func addressTranslation() throws(VFIOError) -> PCIAddressTranslation? {
        try position(of: .addressTranslationServices, byteCount: 8).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Returns the SR-IOV capability, `nil` unless this is a physical function with virtual functions.
    public func singleRootIOV() throws(VFIOError) -> PCISingleRootIOV? {
        try position(of: .singleRootIOVirtualization, byteCount: 28).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Returns the resizable BARs capability, `nil` without one.
    public func resizableBARs() throws(VFIOError) -> PCIResizableBARs? {
        try position(of: .resizableBAR, byteCount: 12).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Returns the access control services capability, `nil` without one.
    public func accessControl() throws(VFIOError) -> PCIAccessControl? {
        try position(of: .accessControlServices, byteCount: 8).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Returns all vendor-specific extended capabilities.
    public func extendedVendorCapabilities() throws(VFIOError) -> [PCIExtendedVendorCapability] {
        var found: [PCIExtendedVendorCapability] = []
        let end = try byteCount()
        for capability in try walkExtendedCapabilities()
        where capability.id == .vendorSpecific && capability.offset + 8 <= end {
            found.append(try PCIExtendedVendorCapability(self, at: capability.offset))
        }
        return found
    }
}
