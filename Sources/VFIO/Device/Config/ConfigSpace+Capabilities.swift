extension ConfigSpace {
    /// Power management; `nil` without the capability.
    public func powerManagement() throws(VFIOError) -> PCIPowerManagement? {
        try position(of: .powerManagement, byteCount: 6).map { (offset) throws(VFIOError) in try .init(self, at: offset)
        }
    }

    /// MSI; `nil` without the capability.
    public func msi() throws(VFIOError) -> PCIMSI? {
        try position(of: .msi, byteCount: 4).map { (offset) throws(VFIOError) in try .init(self, at: offset) }
    }

    /// MSI-X; `nil` without the capability.
    public func msix() throws(VFIOError) -> PCIMSIX? {
        try position(of: .msix, byteCount: 12).map { (offset) throws(VFIOError) in try .init(self, at: offset) }
    }

    /// PCI Express; `nil` for a conventional PCI device.
    public func pciExpress() throws(VFIOError) -> PCIExpress? {
        try position(of: .pciExpress, byteCount: 20).map { (offset) throws(VFIOError) in try .init(self, at: offset) }
    }

    /// Every vendor-specific capability.
    public func vendorCapabilities() throws(VFIOError) -> [PCIVendorCapability] {
        var found: [PCIVendorCapability] = []
        for capability in try walkCapabilities() where capability.id == .vendorSpecific {
            found.append(try PCIVendorCapability(self, at: capability.offset))
        }
        return found
    }

    /// Address translation services; `nil` without the capability.
    public func addressTranslation() throws(VFIOError) -> PCIAddressTranslation? {
        try position(of: .addressTranslationServices, byteCount: 8).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// SR-IOV; `nil` for what is not a physical function with virtual ones.
    public func singleRootIOV() throws(VFIOError) -> PCISingleRootIOV? {
        try position(of: .singleRootIOVirtualization, byteCount: 28).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Resizable BARs; `nil` without the capability.
    public func resizableBARs() throws(VFIOError) -> PCIResizableBARs? {
        try position(of: .resizableBAR, byteCount: 12).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Access control services; `nil` without the capability.
    public func accessControl() throws(VFIOError) -> PCIAccessControl? {
        try position(of: .accessControlServices, byteCount: 8).map { (offset) throws(VFIOError) in
            try .init(self, at: offset)
        }
    }

    /// Every vendor-specific extended capability.
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
