internal import SystemPackage
internal import VFIO

extension BoundDevice {
    private static let nestedTableWords = "make a nested page table"
    static var makesNestedPageTable: String { ABI.Call.makePageTable.operation(nestedTableWords) }

    /// Creates a nested page table.
    ///
    /// - Parameter parent: The parent page table, or the virtual IOMMU that it is created in.
    func makePageTable(
        in parent: IOMMUFDObject, _ guest: GuestTranslation, options: HardwarePageTable.Options, faults: IOMMUFDObject?
    ) throws(VFIOError) -> NestedPageTable {
        let operation = Self.makesNestedPageTable
        try require(parent, operation)
        if let faults { try require(faults, operation) }
        let guest = guest.request
        guard !guest.data.isEmpty else {
            throw VFIOError(.invalidArgument, operation, name, hint: "what the guest's page table is has no bytes")
        }
        let number = try ABI.makePageTable(
            for: id, over: parent.id, flags: options.rawValue, faults: faults?.id, guest: guest
        ).perform(
            on: file, Self.nestedTableWords, name,
            lacking: "the IOMMU of the device does not nest page tables of this kind",
            refusals: [
                .invalidArgument: (
                    .invalidArgument,
                    "the page table below has to be a nesting parent of the same IOMMU, and the guest's what that IOMMU "
                        + "takes"
                )
            ])
        let object = IOMMUFDObject(
            number, "the nested page table", of: parent.space, in: file,
            holding: [parent] + (faults.map { [$0] } ?? []))
        return NestedPageTable(object: object)
    }

    // MARK: Virtual IOMMUs

    func makeVirtualIOMMU(_ kind: VirtualIOMMU.Kind, over parent: IOMMUFDObject) throws(VFIOError) -> VirtualIOMMU {
        let words = "make a virtual IOMMU"
        try require(parent, ABI.Call.makeVirtualIOMMU.operation(words))
        let made = try ABI.makeVirtualIOMMU(for: id, over: parent.id, kind.request).perform(
            on: file, words, name, lacking: "the kernel (Linux 6.13) or the IOMMU has no virtual IOMMUs of this kind",
            refusals: [.invalidArgument: (.invalidArgument, "the page table below has to be a nesting parent")])
        let object = IOMMUFDObject(made.id, "the virtual IOMMU", of: parent.space, in: file, holding: [parent])
        return VirtualIOMMU(object, kind, made.data)
    }

    /// - Parameter core: The device, which stays open while the virtual device exists; `nil` for one of another driver.
    func makeVirtualDevice(
        in viommu: IOMMUFDObject, number: UInt64, of core: DeviceCore? = nil
    ) throws(VFIOError) -> VirtualDevice {
        let words = "name the device in a virtual IOMMU"
        try require(viommu, ABI.Call.makeVirtualDevice.operation(words))
        let made = try ABI.makeVirtualDevice(id, in: viommu.id, number: number).perform(
            on: file, words, name, lacking: "the kernel (Linux 6.13) lacks it",
            refusals: [
                .fileExists: (
                    .busy,
                    "the device has a name in a virtual IOMMU, or another one has the name \(number.hexadecimal)"
                ),
                .invalidArgument: (
                    .invalidArgument,
                    "the virtual IOMMU is of another IOMMU than the device's, or takes no such number"
                ),
            ])
        // The kernel destroys it with the device, so the device stays open while it exists.
        let lease = core.map { DeviceLease($0, for: .virtualDevice) }
        let object = IOMMUFDObject(
            made, "the virtual device", of: viommu.space, in: file,
            holding: [viommu] + (lease.map { [$0] } ?? []))
        return VirtualDevice(object: object, number: number)
    }
}
