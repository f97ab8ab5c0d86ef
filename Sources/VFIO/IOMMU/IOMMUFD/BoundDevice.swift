internal import SystemPackage

/// A device as the iommufd knows it that it is bound to: a number, for which the IOMMU's objects are made.
///
/// What can be done with it needs no descriptor of the device, so that it holds as well for devices that are not VFIO's.
struct BoundDevice: Sendable {
    let id: UInt32
    /// Of the iommufd; what page tables are made from when nothing else is said.
    let space: AddressSpace
    let file: IOMMUFDFile
    /// For errors.
    let name: String
    /// The device behind it, which objects that end with it keep open.
    private let core: DeviceCore?

    private static let tableWords = "make a page table"
    private static let nestedTableWords = "make a nested page table"
    static var makesPageTable: String { ABI.Call.makePageTable.operation(tableWords) }
    static var makesNestedPageTable: String { ABI.Call.makePageTable.operation(nestedTableWords) }

    init(_ id: UInt32, in space: AddressSpace, _ file: IOMMUFDFile, name: String, core: DeviceCore? = nil) {
        self.id = id
        self.space = space
        self.file = file
        self.name = name
        self.core = core
    }

    // MARK: What the hardware is

    func hardware() throws(VFIOError) -> IOMMUHardware {
        IOMMUHardware(
            try ABI.getHardwareInfo(of: id).perform(
                on: file, "ask what the IOMMU is", name, lacking: "this kernel or this IOMMU does not tell"))
    }

    // MARK: Page tables

    /// A page table with an address space's mappings.
    func makePageTable(
        of space: AddressSpace?, options: HardwarePageTable.Options, faults: IOMMUFDObject?
    ) throws(VFIOError) -> HardwarePageTable {
        let space = space ?? self.space
        let ioas = try number(of: space, Self.makesPageTable)
        if let faults { try require(faults, Self.makesPageTable) }
        let number = try ABI.makePageTable(for: id, over: ioas, flags: options.rawValue, faults: faults?.id).perform(
            on: file, Self.tableWords, name, lacking: "the IOMMU of the device cannot do this")
        let table = HardwarePageTable(
            object: IOMMUFDObject(number, "the page table", of: space, in: file, holding: faults.map { [$0] } ?? []),
            options: options)
        // The IOMMU may reach less than could be mapped before.
        try space.refresh()
        return table
    }

    /// A page table that a guest keeps.
    ///
    /// - Parameter parent: The page table below it, or the virtual IOMMU that it is in.
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

    func makeVirtualDevice(in viommu: IOMMUFDObject, number: UInt64) throws(VFIOError) -> VirtualDevice {
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
        // The kernel ends it together with the device, so the device stays for as long.
        let lease = core.map { DeviceLease($0, for: .virtualDevice) }
        let object = IOMMUFDObject(
            made, "the virtual device", of: viommu.space, in: file,
            holding: [viommu] + (lease.map { [$0] } ?? []))
        return VirtualDevice(object: object, number: number)
    }

    // MARK: -

    /// Refuses objects of other iommufds, whose numbers mean something else here.
    func require(_ object: IOMMUFDObject, _ operation: String) throws(VFIOError) {
        guard object.file === file else { throw stranger(operation) }
    }

    func number(of space: AddressSpace, _ operation: String) throws(VFIOError) -> UInt32 {
        guard let other = space.backend as? IOMMUFDContext, other.file === file else { throw stranger(operation) }
        return other.ioas
    }

    private func stranger(_ operation: String) -> VFIOError {
        VFIOError(
            .invalidArgument, operation, name,
            hint: "it is not of the iommufd that the device is bound to; see AddressSpace.makeSibling()")
    }
}
