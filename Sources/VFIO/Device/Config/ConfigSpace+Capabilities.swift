extension ConfigSpace {
    /// Power management; `nil` without the capability.
    public func powerManagement() throws(VFIOError) -> PCIPowerManagement? {
        try capability(.powerManagement).map { (found) throws(VFIOError) in try .init(self, at: found.offset) }
    }

    /// MSI; `nil` without the capability.
    public func msi() throws(VFIOError) -> PCIMSI? {
        try capability(.msi).map { (found) throws(VFIOError) in try .init(self, at: found.offset) }
    }

    /// MSI-X; `nil` without the capability.
    public func msix() throws(VFIOError) -> PCIMSIX? {
        try capability(.msix).map { (found) throws(VFIOError) in try .init(self, at: found.offset) }
    }

    /// PCI Express; `nil` for a conventional PCI device.
    public func pciExpress() throws(VFIOError) -> PCIExpress? {
        try capability(.pciExpress).map { (found) throws(VFIOError) in try .init(self, at: found.offset) }
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
        try extendedCapability(.addressTranslationServices).map { (found) throws(VFIOError) in
            try .init(self, at: found.offset)
        }
    }

    /// SR-IOV; `nil` for what is not a physical function with virtual ones.
    public func singleRootIOV() throws(VFIOError) -> PCISingleRootIOV? {
        try extendedCapability(.singleRootIOVirtualization).map { (found) throws(VFIOError) in
            try .init(self, at: found.offset)
        }
    }

    /// Resizable BARs; `nil` without the capability.
    public func resizableBARs() throws(VFIOError) -> PCIResizableBARs? {
        try extendedCapability(.resizableBAR).map { (found) throws(VFIOError) in try .init(self, at: found.offset) }
    }

    /// Access control services; `nil` without the capability.
    public func accessControl() throws(VFIOError) -> PCIAccessControl? {
        try extendedCapability(.accessControlServices).map { (found) throws(VFIOError) in
            try .init(self, at: found.offset)
        }
    }

    /// Every vendor-specific extended capability.
    public func extendedVendorCapabilities() throws(VFIOError) -> [PCIExtendedVendorCapability] {
        var found: [PCIExtendedVendorCapability] = []
        for capability in try walkExtendedCapabilities() where capability.id == .vendorSpecific {
            found.append(try PCIExtendedVendorCapability(self, at: capability.offset))
        }
        return found
    }
}
