/// A device as the iommufd knows it that it is bound to: a number, for which the IOMMU's objects are made.
///
/// What can be done with it needs no descriptor of the device, so that it holds as well for devices that are not VFIO's.
package struct BoundDevice: Sendable {
    package let id: UInt32
    /// Of the iommufd; what page tables are made from when nothing else is said.
    let space: AddressSpace
    package let file: IOMMUFDFile
    /// For errors.
    package let name: String

    private static let tableWords = "make a page table"
    package static var hwptAllocOperation: String { ABI.Call.makePageTable.operation(tableWords) }

    init(_ id: UInt32, in space: AddressSpace, _ file: IOMMUFDFile, name: String) {
        self.id = id
        self.space = space
        self.file = file
        self.name = name
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
        let ioas = try number(of: space, Self.hwptAllocOperation)
        if let faults { try require(faults, Self.hwptAllocOperation) }
        let number = try ABI.makePageTable(for: id, over: ioas, flags: options.rawValue, faults: faults?.id).perform(
            on: file, Self.tableWords, name, lacking: "the IOMMU of the device cannot do this")
        let table = HardwarePageTable(
            object: IOMMUFDObject(number, "the page table", of: space, in: file, holding: faults.map { [$0] } ?? []),
            options: options)
        // The IOMMU may reach less than could be mapped before.
        try space.refresh()
        return table
    }

    // MARK: -

    /// Refuses objects of other iommufds, whose numbers mean something else here.
    package func require(_ object: IOMMUFDObject, _ operation: String) throws(VFIOError) {
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
