import VFIO
import VFIOMock

/// Everything that the library asks a kernel, with answers that are changed. Each failure has to be an error, and nothing
/// may stay open.
func fuzzAnswers(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    var input = Input(Array(UnsafeBufferPointer(start: data, count: size)))
    let interface: AddressSpace.Interface = input.byte() & 1 == 0 ? .iommufd : .type1
    let machine = MockMachine()
    machine.plug(NVMeModel(memoryByteCount: 1 << 20), at: "0000:00:04.0")
    machine.plug(EduModel(), at: "0000:00:02.0")
    let kernel = MutatingKernel(machine.kernel, input)
    _ = try? PCIBus(kernel: kernel).functions()
    try? useDevice(at: "0000:00:04.0", interface, kernel)
    precondition(machine.openFiles.isEmpty, "\(machine.openFiles)")
    precondition(machine.mappings.isEmpty, "\(machine.mappings)")
    return 0
}

/// Config space that is the input.
func fuzzConfig(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    let machine = MockMachine()
    machine.plug(NVMeModel(memoryByteCount: 0), at: "0000:00:04.0")
    let config = Array(UnsafeBufferPointer(start: data, count: size))
    let kernel = MutatingKernel(machine.kernel, Input([]), config: config)
    try? useDevice(at: "0000:00:04.0", .iommufd, kernel)
    return 0
}

private func attempt(_ body: () throws -> Void) { try? body() }

private func useDevice(at address: PCIAddress, _ interface: AddressSpace.Interface, _ kernel: any Kernel) throws {
    let space = try AddressSpace(interface, kernel: kernel)
    _ = try? space.type1Info()
    let device = try Device(at: address, in: space)
    readConfig(device.config)
    for region in (try? device.regions()) ?? [] {
        attempt { try device.map(region.index).close() }
    }
    for index in [InterruptIndex.intx, .msi, .msix, .error, .request] {
        guard let interrupts = try? device.interrupts(index) else { continue }
        attempt { try interrupts.enable(vector: 0).close() }
        attempt { try interrupts.enable(vectors: 0..<3).close() }
    }
    for feature in [DeviceFeature.vfToken, .migration, .lowPower, .dmaLogging, .dmaBuf] {
        _ = try? device.supports(feature)
    }
    _ = try? device.hotResetInfo()
    try? device.hotReset()
    try? device.reset()
    attempt { try space.allocate(byteCount: 8192).close() }
    try device.close()
}

private func readConfig(_ config: ConfigSpace) {
    _ = try? config.capabilities()
    _ = try? config.extendedCapabilities()
    for bar in 0..<6 { _ = try? config.baseAddress(bar) }
    _ = try? config.command()
    _ = try? config.powerManagement()
    _ = try? config.msi()
    _ = try? config.msix()?.tableRange
    _ = try? config.pciExpress()
    _ = try? config.vendorCapabilities()
    _ = try? config.addressTranslation()
    _ = try? config.singleRootIOV()
    _ = try? config.resizableBARs()
    _ = try? config.accessControl()
    _ = try? config.extendedVendorCapabilities()
}
