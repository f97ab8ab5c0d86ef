import VFIO

/// A device in the output of `list` and `topology`; its fields are those of the JSON.
struct DeviceRow: Encodable {
    let address: String
    let vendor: String
    let device: String
    let classCode: String
    let className: String
    let title: String
    let driver: String?
    let driverOverride: String?
    let iommuGroup: Int?
    let hasIOMMU: Bool
    let numaNode: Int?
    let parent: String?
    let physicalFunction: String?
    let virtualFunctions: [String]
    let virtualFunctionLimit: Int?
    let resetMethods: [String]
    let vfioNode: String?
    let vfio: String

    init(_ function: PCIFunctionInfo, _ names: PCINames, _ state: VFIOState) {
        address = "\(function.address)"
        vendor = Hexadecimal.text(function.vendorID)
        device = Hexadecimal.text(function.deviceID)
        classCode = Hexadecimal.text(function.classCode, digits: 6)
        className = names.className(of: function)
        title = names.title(of: function)
        driver = function.driver
        driverOverride = function.driverOverride
        iommuGroup = function.iommuGroup
        hasIOMMU = function.hasIOMMU
        numaNode = function.numaNode
        parent = function.parent.map { "\($0)" }
        physicalFunction = function.physicalFunction.map { "\($0)" }
        virtualFunctions = function.virtualFunctions.map { "\($0)" }
        virtualFunctionLimit = function.virtualFunctionLimit
        resetMethods = function.resetMethods
        vfioNode = function.vfioNode
        vfio = state.rawValue
    }
}
